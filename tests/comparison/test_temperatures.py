"""Is a gain more than a hotter sampler? Policies of known accuracy and entropy at a grid of temperatures."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rsgrpo import run_folder
from rsgrpo.comparison.changes import support_changes, transition_matrices
from rsgrpo.comparison.compare import Comparison, compare
from rsgrpo.comparison.measures import measure
from rsgrpo.comparison.report import report
from rsgrpo.comparison.runs import read_run
from rsgrpo.comparison.temperatures import at_usual_temperature, controls, temperature_panels
from tests.comparison.folders import GRPO, changed, write_evaluation, write_run

PROBLEMS, N = 6, 8

GRPO_AT = {0.5: (2, 0.2), 1.0: (3, 0.4), 2.0: (4, 0.8)}
"""By temperature, right samples of each problem and entropy."""

OURS_AT = {1.0: (6, 0.5)}


def evaluate(
    tmp_path: Path, name: str, policy: str | None, at: Mapping[float, tuple[int, float]], extra: int = 0
) -> None:
    for temperature, (right, entropy) in at.items():
        samples = [[("1", i < right + extra) for i in range(N)] for _ in range(PROBLEMS)]
        folder = tmp_path / "evaluations" / f"{name}_{temperature}"
        write_evaluation(folder, samples, policy=policy, temperature=temperature, logprob=-entropy)


def grid(tmp_path: Path, seeds: int = 1) -> Comparison:
    """The s-th seed of both has s more right samples."""
    for seed in range(seeds):
        for name, sections, at in (("grpo", GRPO, GRPO_AT), ("ours", {}, OURS_AT)):
            run = write_run(tmp_path / f"{name}{seed}", changed(seed=seed, **sections), {0: [0], 60: [0]})
            evaluate(tmp_path, run.name, str(run / "policy"), at, extra=seed)
    folders = sorted((tmp_path / "evaluations").iterdir())
    return compare([read_run(folder) for folder in folders], [measure("pass@1"), measure("pass@2")])


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_gain_over_the_baseline_at_any_temperature(tmp_path: Path, seeds: int):
    found = grid(tmp_path, seeds)
    (control,) = controls(
        compare([read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())], [measure("pass@1")])
    )
    assert found.baseline.startswith("grpo temperature=")
    assert (control.policy, control.baseline, control.pairs) == ("rs_grpo", "grpo", seeds)
    assert control.gain.estimate == pytest.approx(3 / 8)
    assert control.best_temperature == 2
    assert control.over_best.estimate == pytest.approx(2 / 8)
    assert control.entropy == pytest.approx(0.5)
    # .5 lies a quarter of the way from .4 (temperature 1) to .8 (temperature 2)
    assert control.matched_temperature == pytest.approx(1.25)
    assert control.over_matched is not None
    assert control.over_matched.estimate == pytest.approx((6 - 3.25) / 8)
    assert control.over_matched.unit == ("pairs" if seeds > 1 else "problems")


def test_an_entropy_outside_the_grid_has_no_match(tmp_path: Path):
    run = write_run(tmp_path / "grpo", changed(**GRPO), {0: [0], 60: [0]})
    evaluate(tmp_path, "grpo", str(run / "policy"), GRPO_AT)
    run = write_run(tmp_path / "ours", changed(), {0: [0], 60: [0]})
    evaluate(tmp_path, "ours", str(run / "policy"), {1.0: (6, 0.9)})
    found = compare([read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())], [measure("pass@1")])
    (control,) = controls(found)
    assert control.over_matched is None
    assert control.matched_temperature is None
    assert control.gain.estimate == pytest.approx(3 / 8)


def test_the_base_stands_beside_every_seed(tmp_path: Path):
    for seed in range(3):
        run = write_run(tmp_path / f"grpo{seed}", changed(seed=seed, **GRPO), {0: [0], 60: [0]})
        evaluate(tmp_path, run.name, str(run / "policy"), GRPO_AT, extra=seed)
    evaluate(tmp_path, "base", None, {1.0: (1, 0.8)})
    found = compare([read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())], [measure("pass@1")])
    (control,) = controls(found)
    assert (control.policy, control.pairs) == ("base", 3)
    assert control.gain.estimate == pytest.approx((1 - 4) / 8)
    assert control.over_matched is not None
    assert control.over_matched.estimate == pytest.approx((1 - 5) / 8)


def test_lines_go_through_the_temperatures_in_order(tmp_path: Path):
    by_temperature, by_entropy, by_pass_at_1 = temperature_panels(grid(tmp_path))
    assert [panel.title for panel in (by_temperature, by_entropy, by_pass_at_1)] == [
        *("pass@2 by temperature", "pass@2 by entropy of the sampler", "pass@2 by pass@1")
    ]
    (line,) = by_temperature.lines  # the other policy was evaluated at a single one
    assert (line.arm, list(line.x)) == ("grpo", [0.5, 1, 2])
    assert by_entropy.lines[0].x == pytest.approx([0.2, 0.4, 0.8])
    assert by_pass_at_1.lines[0].x == pytest.approx([2 / 8, 3 / 8, 4 / 8])
    assert line.y == pytest.approx([1 - (6 * 5) / (8 * 7), 1 - (5 * 4) / (8 * 7), 1 - (4 * 3) / (8 * 7)])


def test_there_is_none_without_a_grid(tmp_path: Path):
    run = write_run(tmp_path / "grpo", changed(**GRPO), {0: [0], 60: [0]})
    evaluate(tmp_path, "grpo", str(run / "policy"), {1.0: (1, 0.5)})
    found = compare([read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())], [measure("pass@1")])
    assert controls(found) == temperature_panels(found) == []


def test_the_rest_of_a_report_is_at_the_usual_temperature(tmp_path: Path):
    for seed in range(3):
        run = write_run(tmp_path / f"grpo{seed}", changed(seed=seed, **GRPO), {0: [0], 60: [0]})
        evaluate(tmp_path, run.name, str(run / "policy"), GRPO_AT, extra=seed)
    evaluate(tmp_path, "base", None, {0.5: (1, 0.1), 1.0: (1, 0.8)})
    found = compare(
        [read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())],
        [measure("pass@1")],
        baseline="base temperature=0.5",
    )
    assert found.notes == []  # the base has no seeds of its own
    usual = at_usual_temperature(found)
    assert (usual.baseline, [arm.label for arm in usual.arms]) == ("base", ["base", "grpo"])
    (change,) = transition_matrices(usual)
    assert (change.first, change.second, change.pairs) == ("base", "grpo", 3)


def test_a_policy_that_was_not_evaluated_at_that_temperature_is_named_and_not_mixed_in(tmp_path: Path):
    for name, sections, at in (("grpo", GRPO, GRPO_AT), ("ours", {}, {0.5: (6, 0.5), 2.0: (6, 0.9)})):
        run = write_run(tmp_path / name, changed(**sections), {0: [0], 60: [0]})
        evaluate(tmp_path, name, str(run / "policy"), at)
    found = compare([read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())], [measure("pass@1")])
    assert [arm.label for arm in at_usual_temperature(found).arms] == ["grpo"]
    content = report(found, 0.95, "")
    assert content["temperature"] == 1
    assert "Not evaluated at temperature 1, and so in the comparisons alone: rs_grpo." in content["missing"]


def test_own_rows_beside_the_papers_are_at_the_usual_temperature(tmp_path: Path):
    run = write_run(tmp_path / "grpo", changed(**GRPO), {0: [0], 60: [0]})
    for temperature, right in ((0.5, 2), (1.0, 3)):
        folder = tmp_path / "evaluations" / str(temperature)
        samples = [[("1", i < right) for i in range(N)] for _ in range(PROBLEMS)]
        write_evaluation(folder, samples, policy=str(run / "policy"), temperature=temperature)
        rows = run_folder.read(folder / run_folder.TEST)
        (folder / run_folder.TEST).unlink()
        run_folder.append(folder / run_folder.TEST, [row | {"facts": {"dataset": "aime24"}} for row in rows])
    found = compare([read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())], [measure("pass@1")])
    (own,) = [row for row in report(found, 0.95, "")["paper"] if row["own"]]
    assert (own["method"], own["values"]["aime24"][0]) == ("grpo", pytest.approx(100 * 3 / 8))


def test_changes_go_from_the_base_to_what_was_trained_from_it(tmp_path: Path):
    for name, sections, at in (("grpo", GRPO, GRPO_AT), ("ours", {}, OURS_AT)):
        run = write_run(tmp_path / name, changed(**sections), {0: [0], 60: [0]})
        evaluate(tmp_path, name, str(run / "policy"), at)
    evaluate(tmp_path, "base", None, {0.5: (1, 0.1), 1.0: (1, 0.8)})
    found = compare([read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())], [measure("pass@1")])
    assert found.baseline == "grpo temperature=1"
    usual = at_usual_temperature(found)
    expected = [("grpo", "rs_grpo"), ("base", "grpo"), ("base", "rs_grpo")]
    assert [(change.first, change.second) for change in transition_matrices(usual)] == expected
    changes = support_changes(usual)
    assert [(change.first, change.second) for change in changes] == expected
    # At k = 4 of 8 samples, 1 right of them solves a problem with a chance of a half, 3 with 13 / 14.
    to_grpo = changes[1].counts
    assert (to_grpo["gained"], to_grpo["lost"]) == (pytest.approx(6 * 13 / 28), pytest.approx(6 / 28))


def test_evaluations_at_one_temperature_stay_as_they_are(tmp_path: Path):
    evaluate(tmp_path, "base", None, {1.0: (1, 0.8)})
    found = compare([read_run(f) for f in (tmp_path / "evaluations").iterdir()], [measure("pass@1")])
    assert at_usual_temperature(found) is found


def test_a_finer_grid_makes_no_policy_less_sure(tmp_path: Path):
    """Holm's correction is over the policies of a temperature: here a single one beside the baseline's."""
    for seed in range(3):
        for name, sections, at, extra in (("grpo", GRPO, GRPO_AT, seed), ("ours", {}, {1.0: (4, 0.5)}, 2 * seed)):
            run = write_run(tmp_path / f"{name}{seed}", changed(seed=seed, **sections), {0: [0], 60: [0]})
            evaluate(tmp_path, run.name, str(run / "policy"), at, extra=extra)
    found = compare([read_run(f) for f in sorted((tmp_path / "evaluations").iterdir())], [measure("pass@1")])
    (row,) = [row for row in found.rows if row.arm == "rs_grpo temperature=1"]
    assert row.difference is not None
    assert 0 < row.difference.p < 1
    assert row.adjusted == pytest.approx(row.difference.p)

"""Arms, pairs, intervals and verdicts of runs whose numbers are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rsgrpo import run_folder
from rsgrpo.comparison.arms import arms_of
from rsgrpo.comparison.compare import Comparison, Row, compare
from rsgrpo.comparison.measures import measure
from rsgrpo.comparison.record import record
from rsgrpo.comparison.runs import find_runs, read_run
from rsgrpo.errors import UserError
from rsgrpo.measures.pass_at_k import pass_at_k
from tests.comparison.folders import GRPO, changed, write_run

BASE, WORSE, BETTER = [0, 1, 2, 3, 4, 5], [1, 2, 2, 4, 4, 6], [2, 3, 4, 5, 5, 8]


def row(found: Comparison, name: str, arm: str) -> Row:
    (only,) = [row for row in found.rows if (row.measure, row.arm) == (name, arm)]
    return only


def compared(folders: list[Path], *names: str, **options: Any) -> Comparison:
    return compare(
        [read_run(folder) for folder in folders], [measure(name) for name in names or ("pass@1",)], **options
    )


def arm(tmp_path: Path, name: str, seeds: int, counts: list[int], **sections: Any) -> list[Path]:
    """Runs of one experiment whose s-th seed has solved s problems once more."""
    runs = []
    for seed in range(seeds):
        solved = [c + (i < seed) for i, c in enumerate(counts)]
        config = changed(seed=seed, **sections)
        config["model"]["pretrain"]["seed"] = seed
        runs.append(write_run(tmp_path / f"{name}_seed{seed}", config, {0: BASE, 60: solved}))
    return runs


def test_several_seeds_are_compared_by_students_t_over_pairs(tmp_path: Path):
    grpo, ours = arm(tmp_path, "grpo", 3, WORSE, **GRPO), arm(tmp_path, "ours", 3, BETTER)
    # One seed of ours is less lucky, so that the differences have a spread.
    extra = changed(seed=2)
    extra["model"]["pretrain"]["seed"] = 2
    ours[2] = write_run(tmp_path / "other", extra, {0: BASE, 60: [2, 3, 4, 5, 5, 7]})
    found = compared([*grpo, *ours], "pass@1", "pass@4")
    assert found.baseline == "grpo"
    assert [a.label for a in found.arms] == ["grpo", "rs_grpo"]
    for name, k in (("pass@1", 1), ("pass@4", 4)):

        def mean(folder: Path, k: int = k) -> float:
            rows = [r for r in run_folder.read(folder / run_folder.TEST) if r["iteration"] == 60]
            return float(np.mean([pass_at_k(r["n"], r["correct"], k) for r in rows]))

        differences = [mean(b) - mean(a) for a, b in zip(grpo, ours, strict=True)]
        ours_row = row(found, name, "rs_grpo")
        assert ours_row.mean.estimate == pytest.approx(np.mean([mean(folder) for folder in ours]))
        assert ours_row.difference is not None
        assert ours_row.difference.estimate == pytest.approx(np.mean(differences))
        # The few samples of these runs vary more than their three differences do.
        assert ours_row.difference.p >= float(np.asarray(stats.ttest_1samp(differences, 0))[1])
        # base against grpo is the other comparison under this measure
        assert ours_row.adjusted >= ours_row.difference.p
        assert ours_row.improvement == 1.0
        assert (ours_row.difference.unit, ours_row.difference.units) == ("pairs", 3)
        assert row(found, name, "grpo").difference is None
    assert row(found, "pass@1", "base").mean.flag == "all 3 runs have the same value"


def test_a_clear_difference_is_decided_and_an_unclear_one_says_what_could_have_been_shown(tmp_path: Path):
    rng = np.random.default_rng(0)
    folders = []
    for seed in range(6):
        config = changed(seed=seed)
        grpo = config | GRPO
        solved = rng.integers(1, 5, 40)
        folders.append(write_run(tmp_path / f"a{seed}", grpo, {0: [0] * 40, 60: solved.tolist()}))
        better = np.minimum(solved + 2 - rng.integers(0, 2, 40), 8)
        folders.append(write_run(tmp_path / f"b{seed}", config, {0: [0] * 40, 60: better.tolist()}))
        same = np.clip(solved + rng.integers(-1, 2, 40), 0, 8)
        other = config | {"objective": config["objective"] | {"beta": 8.0}}
        folders.append(write_run(tmp_path / f"c{seed}", other, {0: [0] * 40, 60: same.tolist()}))
    found = compared(folders)
    assert [a.label for a in found.arms] == ["grpo", "rs_grpo beta=2", "rs_grpo beta=8"]
    assert row(found, "pass@1", "rs_grpo beta=2").decided()
    unclear = row(found, "pass@1", "rs_grpo beta=8")
    assert not unclear.decided()
    assert unclear.difference is not None
    assert 0 < unclear.detectable < 0.1


def test_single_runs_are_compared_over_their_problems(tmp_path: Path):
    rng = np.random.default_rng(1)
    low = rng.integers(0, 6, 50)
    high = np.minimum(low + rng.integers(0, 3, 50), 8)
    a = write_run(tmp_path / "a", changed(**GRPO), {0: [0] * 50, 60: low.tolist()})
    b = write_run(tmp_path / "b", changed(), {0: [0] * 50, 60: high.tolist()})
    found = compared([a, b], "pass@1", "train/entropy")
    ours = row(found, "pass@1", "rs_grpo")
    assert ours.difference is not None
    assert (ours.difference.unit, ours.difference.units, ours.mean.unit) == ("problems", 50, "problems")
    assert ours.difference.estimate == pytest.approx((high - low).mean() / 8)
    assert ours.decided()
    assert np.isnan(ours.detectable)
    logged = row(found, "train/entropy", "rs_grpo")
    assert "a single pair" in str(logged.difference and logged.difference.flag)
    assert not logged.decided()


def test_benchmarks_weigh_the_same(tmp_path: Path):
    datasets = ["small"] * 2 + ["large"] * 6
    a = write_run(tmp_path / "a", changed(**GRPO), {60: [8, 8, 0, 0, 0, 0, 0, 0]}, datasets=datasets)
    b = write_run(tmp_path / "b", changed(), {60: [8, 8, 4, 4, 4, 4, 4, 4]}, datasets=datasets)
    found = compared([a, b])
    assert row(found, "pass@1", "grpo").mean.estimate == pytest.approx(0.5)
    assert row(found, "pass@1", "rs_grpo").mean.estimate == pytest.approx(0.75)
    assert sorted(found.benchmarks) == ["large", "small"]


@pytest.mark.parametrize(
    ("changes", "arms"),
    [
        ({"seed": 3}, ["rs_grpo"]),
        ({"trainer__threads": 4}, None),
        ({"batching__row_tokens": 99}, None),
        ({"model__cache_dir": "/other"}, None),
        ({"iterations": 90}, None),
        ({"objective__beta": 4.0}, ["rs_grpo beta=2", "rs_grpo beta=4"]),
        ({"objective__beta": 2}, None),
        ({"batching__completions_per_prompt": 4}, ["rs_grpo batching.completions_per_prompt=8"]),
        ({"model__pretrain": {"seed": 0, "steps": 9}}, ["rs_grpo model.pretrain.steps=1200"]),
    ],
)
def test_what_makes_an_arm(tmp_path: Path, changes: dict[str, Any], arms: list[str] | None):
    a = write_run(tmp_path / "a", changed(), {60: BASE})
    b = write_run(tmp_path / "b", changed(**changes), {60: BASE})
    runs = [read_run(a), read_run(b)]
    if arms is None:  # the same experiment with the same seed
        with pytest.raises(UserError, match="would count twice: both are of "):
            arms_of(runs)
        return
    labels = [a.label for a in arms_of(runs)]
    assert labels[: len(arms)] == arms


def test_other_problems_make_another_arm_wherever_they_lie(tmp_path: Path):
    folders = []
    for name, digest in (("a", "11aa22bb33"), ("b", "11aa22bb33"), ("c", "99ff88ee77")):
        config = changed(seed=len(folders), data={"path": f"/{name}/train.jsonl"})
        folders.append(write_run(tmp_path / name, config, {60: BASE}, described={"data": data_of(digest)}))
    arms = arms_of([read_run(folder) for folder in folders])
    assert [(a.label, len(a.runs)) for a in arms] == [
        ("rs_grpo data.train=11aa22bb", 2),
        ("rs_grpo data.train=99ff88ee", 1),
    ]


def data_of(digest: str) -> dict[str, Any]:
    return {"train": {"problems": 6, "blake2b": digest}}


def test_an_evaluation_of_an_exported_policy_stands_for_its_run(tmp_path: Path):
    for name, sections, solved in (("a", GRPO, WORSE), ("b", {}, BETTER)):
        write_run(tmp_path / name, changed(seed=5, **sections), {0: BASE})
        evaluation = changed(
            task={"_target_": "rsgrpo.tasks.evaluate.evaluate"}, model__path=f"{tmp_path}/{name}/policy"
        )
        write_run(tmp_path / f"eval_{name}", evaluation, {0: solved})
    found = compared([tmp_path / "eval_a", tmp_path / "eval_b"])
    assert [a.label for a in found.arms] == ["grpo", "rs_grpo"]
    assert [run.seed for a in found.arms for run in a.runs] == [5, 5]
    assert row(found, "pass@1", "rs_grpo").mean.estimate == pytest.approx(sum(BETTER) / 48)


def test_runs_are_matched_by_what_they_have_spent(tmp_path: Path):
    counts = {0: BASE, 20: BASE, 40: WORSE, 60: BETTER}
    short = write_run(tmp_path / "short", changed(**GRPO), counts, tokens=10)
    long = write_run(tmp_path / "long", changed(), counts, tokens=15)
    assert set(compared([short, long]).iterations.values()) == {60}
    by_tokens = compared([short, long], match="tokens").iterations
    # 60 iterations of 10 tokens are 40 of 15
    assert by_tokens == {str(short): 60, str(long): 40}
    assert set(compared([short, long], match="seconds").iterations.values()) == {60}
    assert not compared([short, long], match="tokens").notes
    assert set(compared([short, long], match="prompts").iterations.values()) == {60}


def test_prompts_and_tokens_of_refills_count(tmp_path: Path):
    counts = {0: BASE, 30: WORSE, 60: BETTER}
    plain = write_run(tmp_path / "plain", changed(**GRPO), counts)
    # 4 prompts an iteration, and 8 with refills: 60 iterations are 30.
    refilled = write_run(tmp_path / "refilled", changed(), counts, logged=lambda _: {"train/groups_sampled": 8.0})
    for match in ("prompts", "tokens"):
        assert compared([plain, refilled], match=match).iterations == {str(plain): 60, str(refilled): 30}


def test_runs_are_matched_by_how_far_they_have_left_the_base(tmp_path: Path):
    counts = {0: BASE, 20: BASE, 40: WORSE, 60: BETTER}
    # One moves .001 nats an iteration; the other .002, falls back at the end, and trains nothing in between.
    near = write_run(tmp_path / "near", changed(**GRPO), counts, logged=lambda i: {"train/kl": 0.001 * i})
    far = write_run(
        tmp_path / "far",
        changed(),
        counts,
        logged=lambda i: {} if i % 2 else {"train/kl": 0.002 * i if i < 50 else 0.01},
    )
    # Logged before the update of an iteration: after 20 iterations the far one has moved .044 nats, and the near one
    # .060 at its end.
    assert compared([near, far], match="kl").iterations == {str(near): 60, str(far): 20}
    silent = write_run(tmp_path / "silent", changed(**GRPO), counts)
    with pytest.raises(UserError, match=r"silent has not logged its KL .*\+term/kl=k3 \(term\.kl\.coefficient=0"):
        compared([silent, far], match="kl")


def test_a_run_that_falls_back_to_its_base_is_named(tmp_path: Path):
    """The cheap run has spent less at its end than the other one before its first evaluation."""
    cheap = write_run(tmp_path / "cheap", changed(**GRPO), {0: BASE, 10: WORSE}, tokens=1)
    dear = write_run(tmp_path / "dear", changed(), {0: BASE, 60: BETTER}, tokens=15)
    found = compared([cheap, dear], match="tokens")
    assert found.iterations == {str(cheap): 10, str(dear): 0}
    assert found.notes == [
        f"at its base, since no later evaluation is within the tokens that all runs have spent: {dear}"
    ]


def test_what_is_unequal_is_told(tmp_path: Path):
    runs = arm(tmp_path, "grpo", 2, WORSE, **GRPO) + arm(tmp_path, "ours", 1, BETTER)
    runs.append(write_run(tmp_path / "many", changed(seed=1), {0: BASE, 60: [2 * c for c in BETTER]}, n=16))
    runs.append(write_run(tmp_path / "new", changed(seed=9), {0: BASE}))
    runs.append(write_run(tmp_path / "none", changed(seed=8), {60: BASE}, split="validation"))
    notes = " ".join(compared(runs).notes)
    assert "no evaluation of the test split" in notes
    assert str(tmp_path / "none") in notes
    assert f"only the base was evaluated on the test split so far: {tmp_path / 'new'}" in notes
    assert f"16 in {tmp_path / 'many'}" in notes


def test_a_comparison_is_recorded_without_what_is_not_a_number(tmp_path: Path):
    found = compared(arm(tmp_path, "grpo", 1, WORSE, **GRPO) + arm(tmp_path, "ours", 1, BETTER), "train/entropy")
    content = record(found, 0.95)
    run_folder.write_json(tmp_path / run_folder.COMPARE, content)
    assert run_folder.read_json(tmp_path / run_folder.COMPARE)["rows"][1]["difference"]["low"] is None


def test_the_usual_names_of_folders(tmp_path: Path):
    for name in ("sweep/0_a", "sweep/2_b", "sweep/10_c", "alone"):
        write_run(tmp_path / name, changed(), {60: BASE})
    (tmp_path / "sweep" / "multirun.yaml").write_text("")

    def names(*given: str) -> list[str]:
        return [run.name for run in find_runs([str(tmp_path / name) for name in given])]

    assert names("sweep") == ["0_a", "2_b", "10_c"]
    assert names("sweep/*_[ab]", "alone", "sweep/0_a") == ["0_a", "2_b", "alone"]
    assert names("*") == ["alone", "0_a", "2_b", "10_c"]


def test_evaluations_at_several_temperatures_are_arms(tmp_path: Path):
    task = {"_target_": "rsgrpo.tasks.evaluate.evaluate"}
    write_run(tmp_path / "run", changed(seed=5), {0: BASE})
    for temperature in (0.6, 1.0, 1.4):
        for name, path in (("trained", str(tmp_path / "run" / "policy")), ("base", None)):
            config = changed(task=task, model__path=path)
            config["eval"]["sampling"]["temperature"] = temperature
            write_run(tmp_path / f"{name}_{temperature}", config, {0: BETTER if path else WORSE})
    found = compared(sorted(tmp_path.glob("*_*")))
    assert [a.label for a in found.arms] == [
        *("base temperature=0.6", "base temperature=1", "base temperature=1.4"),
        *("rs_grpo temperature=0.6", "rs_grpo temperature=1", "rs_grpo temperature=1.4"),
    ]
    assert found.baseline == "base temperature=1"
    hotter = row(found, "pass@1", "rs_grpo temperature=1.4").difference
    assert hotter is not None  # the base stands beside each seed that was trained from it
    assert hotter.estimate == pytest.approx((sum(BETTER) - sum(WORSE)) / 48)


def test_the_interval_of_a_share_stays_between_0_and_1(tmp_path: Path):
    folders = [*arm(tmp_path, "grpo", 2, WORSE, **GRPO), *arm(tmp_path, "ours", 2, BETTER)]
    for folder, solved in zip(folders, (0.2, 0.9, 0.3, 0.8), strict=True):
        run_folder.append(folder / run_folder.METRICS, [{"iteration": 60, "train/cumulative_solve_rate": solved}])
    found = compared(folders, "train/cumulative_solve_rate", "time/step_s")
    mean = row(found, "train/cumulative_solve_rate", "grpo").mean
    assert (mean.low, mean.high, mean.estimate) == (0.0, 1.0, pytest.approx(0.55))
    assert not measure("time/step_s").is_share


def test_one_arm_of_several_seeds_is_compared_with_its_base(tmp_path: Path):
    folders = arm(tmp_path, "grpo", 2, WORSE, **GRPO)
    found = compared(folders, "pass@1", "train/entropy")
    assert found.baseline == "base"
    assert [(r.measure, r.arm) for r in found.rows] == [
        *(("pass@1", "base"), ("pass@1", "grpo")),
        ("train/entropy", "grpo"),  # which the base has not logged
    ]


def test_pairs_that_agree_by_luck_are_no_surer_than_their_samples(tmp_path: Path):
    rng = np.random.default_rng(0)
    folders = []
    for seed in range(3):
        for name, sections, up in (("a", GRPO, 0), ("b", {}, 1)):
            # Every problem moves, and the mean moves by nearly the same in each pair.
            solved = [*rng.permutation([1, 2, 3, 4] * 10).tolist(), seed % 2] if up == 0 else [*[3, 4, 2, 3] * 10, 2]
            folders.append(write_run(tmp_path / f"{name}{seed}", changed(seed=seed, **sections), {60: solved}))
    ours = row(compared(folders, "pass@1"), "pass@1", "rs_grpo").difference
    assert ours is not None
    evaluated = [read_run(folder).evaluations("test")[60] for folder in folders]
    alone = [measure("pass@1").sampling_variance(parts) for parts in evaluated]
    assert ours.error == pytest.approx((sum(alone) / 3 / 3) ** 0.5)  # both arms, over three pairs
    # one sample in eight right: p (1 - p) / (n - 1), over the problems
    expected = np.mean([c / 8 * (1 - c / 8) / 7 for c in [1, 2, 3, 4] * 10 + [0]]) / 41
    assert alone[0] == pytest.approx(expected)


def test_arms_without_a_common_pair_have_no_difference(tmp_path: Path):
    a = write_run(tmp_path / "a", changed(seed=0, **GRPO), {60: WORSE})
    b = write_run(tmp_path / "b", changed(seed=1), {60: BETTER})
    found = compared([a, b])
    assert row(found, "pass@1", "rs_grpo").difference is None
    assert "grpo and rs_grpo have no base and seed in common" in found.notes[0]

"""Runs that cannot be compared are refused by name."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rsgrpo.comparison.compare import compare
from rsgrpo.comparison.measures import measure
from rsgrpo.comparison.runs import find_runs, read_run
from rsgrpo.errors import UserError
from tests.comparison.folders import GRPO, changed, write_evaluation, write_run

COUNTS = {0: [0, 1, 2], 60: [1, 2, 3]}


def two(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path / "a", changed(**GRPO), COUNTS), write_run(tmp_path / "b", changed(), COUNTS)]


def of_other_problems(tmp_path: Path) -> list[Path]:
    return [two(tmp_path)[0], write_run(tmp_path / "c", changed(), {0: [0, 1], 60: [1, 2]})]


def sampled_otherwise(tmp_path: Path) -> list[Path]:
    return [two(tmp_path)[0], write_run(tmp_path / "c", changed(eval__sampling={"temperature": 0.6}), COUNTS)]


def at_other_iterations(tmp_path: Path) -> list[Path]:
    return [two(tmp_path)[0], write_run(tmp_path / "c", changed(), {0: [0, 1, 2], 90: [1, 2, 3]})]


def without_evaluation(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path / "v", changed(), COUNTS, split="validation")]


def only_begun(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path / "c", changed(), {0: [0, 1, 2]})]


def of_no_common_benchmark(tmp_path: Path) -> list[Path]:
    return [
        write_run(tmp_path / "a", changed(**GRPO), COUNTS, datasets=["x"] * 3),
        write_run(tmp_path / "b", changed(), COUNTS, datasets=["y"] * 3),
    ]


def the_same_seed_twice(tmp_path: Path) -> list[Path]:
    return [two(tmp_path)[0], write_run(tmp_path / "c", changed(**GRPO), COUNTS)]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (of_other_problems, "different problems of the test split .3 and 2.; compare runs of the same data"),
        (sampled_otherwise, r"eval\.sampling\.temperature=1\.0 and .*c with eval\.sampling\.temperature=0\.6"),
        (at_other_iterations, r"at different iterations .*0 and 60.*0 and 90.*task\.match=tokens"),
        (without_evaluation, r"none has an evaluation of the test split .*task\.split=validation"),
        (only_begun, r"only the base was evaluated .*ckpt="),
        (of_no_common_benchmark, "no benchmark in common"),
        (the_same_seed_twice, "a and .*c would count twice: both are of .*, seed 0, from the same base; leave one"),
        (lambda tmp_path: [], "nothing to compare"),
    ],
)
def test_runs_that_cannot_be_compared(tmp_path: Path, make: Callable[[Path], list[Path]], said: str):
    runs = [read_run(folder) for folder in make(tmp_path)]
    with pytest.raises(UserError, match=said):
        compare(runs, [measure("pass@1")])


def test_a_run_and_an_evaluation_of_another_are_called_what_they_are(tmp_path: Path):
    trained, other = (write_run(tmp_path / name, changed(), {0: [0, 1], 60: [2, 3]}) for name in ("here", "elsewhere"))
    evaluation = write_evaluation(tmp_path / "evaluated", [[("1", True)] * 8] * 2, policy=str(other / "policy"))
    said = f"runs: {trained} and {evaluation} (an evaluation of {other}) would count twice: both are of rs_grpo, seed 0"
    with pytest.raises(UserError, match=re.escape(said)):
        compare([read_run(trained), read_run(evaluation)], [measure("pass@1")])


def test_a_k_above_the_samples(tmp_path: Path):
    with pytest.raises(UserError, match=r"pass@9 needs 9 samples of each problem, and .* has 8"):
        compare([read_run(folder) for folder in two(tmp_path)], [measure("pass@9")])


def test_an_unknown_baseline_lists_the_arms(tmp_path: Path):
    with pytest.raises(UserError, match=r"task\.baseline=maxrl .* choose from grpo, rs_grpo, base"):
        compare([read_run(folder) for folder in two(tmp_path)], [measure("pass@1")], baseline="maxrl")


def test_a_file_that_was_cut_off_in_the_middle(tmp_path: Path):
    runs = two(tmp_path)
    file = runs[0] / "eval" / "test.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], lines[2][:40] + "\n", *lines[3:]]))
    with pytest.raises(UserError, match=r"test\.jsonl is damaged in line 3"):
        compare([read_run(folder) for folder in runs], [measure("pass@1")])


@pytest.mark.parametrize("name", ["nowhere", "nowhere/*", "empty"])
def test_names_of_no_run(tmp_path: Path, name: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=re.escape(f"runs: {tmp_path / name} ")):
        find_runs([str(tmp_path / name)])


def test_a_folder_without_a_configuration(tmp_path: Path):
    (run,) = two(tmp_path)[:1]
    (run / "config.yaml").unlink()
    with pytest.raises(UserError, match="is not a run"):
        read_run(run)


@pytest.mark.parametrize(
    "name", ["pass@", "cover@1.5", "g_pass@8:1.1", "accuracy", "cover@0", "pass@x", "", "g_pass@8"]
)
def test_unknown_measures_list_the_forms(name: str):
    with pytest.raises(UserError, match="pass@K, pass"):
        measure(name)


def test_one_run_alone_is_compared_with_its_base(tmp_path: Path):
    found = compare([read_run(two(tmp_path)[0])], [measure("pass@1")])
    assert found.baseline == "base"
    assert [row.arm for row in found.rows] == ["base", "grpo"]
    assert found.rows[1].difference is not None

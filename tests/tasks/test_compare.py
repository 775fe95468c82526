"""`python run.py task=compare` as a user runs it, and what a sweep ends with."""

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from rsgrpo import run_folder
from rsgrpo.comparison.runs import read_run
from rsgrpo.tasks.compare import usual_measures
from tests.comparison.folders import GRPO, changed, write_run
from tests.comparison.reports import write_arms
from tests.tasks.test_audit import run_py


def two_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "a", changed(**GRPO), {0: [0] * 24, 60: [1, 2, 1, 2, 1, 2] * 4})
    write_run(tmp_path / "b", changed(), {0: [0] * 24, 60: [4, 3, 4, 4, 5, 4] * 4})


def test_two_runs_are_compared_and_recorded(tmp_path: Path):
    two_runs(tmp_path)
    done = run_py(tmp_path, "task=compare", "runs=[a,b]", "hydra.run.dir=compared")
    assert done.returncode == 0, done.stderr
    assert "minus grpo" in done.stdout
    content = run_folder.read_json(tmp_path / "compared" / run_folder.COMPARE)
    assert [row["measure"] for row in content["rows"]] == ["pass@1"] * 3 + ["pass@4"] * 3
    assert content["rows"][2]["decided"]


def slow(words: list[str], said: str) -> ParameterSet:
    return pytest.param(words, said, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=compare"], "runs is not set; name run folders"),
        (["task=compare", "runs=[a,b]", "task.baseline=c"], "task.baseline=c is none of the arms"),
        slow(["task=compare", "runs=nowhere"], "runs: nowhere is not a folder"),
        slow(["task=compare", "runs=3"], "runs=3 must list names of folders"),
        slow(["task=compare", "runs=[a,b]", "task.measures=[speed]"], "measures: speed is not one"),
        slow(["task=compare", "runs=[a,b]", "task.split=train"], "task.split=train"),
        slow(["task=compare", "runs=[a,b]", "task.level=95"], "task.level=95"),
    ],
)
def test_mistakes_are_named_and_leave_no_folder(tmp_path: Path, words: list[str], said: str):
    two_runs(tmp_path)
    done = run_py(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_a_sweep_ends_with_the_comparison_of_its_runs(tmp_path: Path):
    done = run_py(tmp_path, "-m", "experiment=smoke", "objective=grpo,rs_grpo", "seed=0,1", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    assert "minus grpo" in done.stdout
    assert "task=compare runs=sweep" in done.stdout
    content = run_folder.read_json(tmp_path / "sweep" / run_folder.COMPARE)
    assert [(arm["arm"], len(arm["runs"])) for arm in content["arms"]] == [("grpo", 2), ("rs_grpo", 2)]


def test_a_k_that_the_samples_do_not_allow_is_left_out(tmp_path: Path):
    """`eval.k` may ask for more than `eval.test_completions` draws."""
    runs = [read_run(folder) for folder in write_arms(tmp_path)]  # 8 samples
    for run in runs:
        assert isinstance(run.settings, dict)
        run.settings["eval.k"] = [1, 4, 32]
    assert usual_measures(runs, "test") == ["pass@1", "pass@4"]

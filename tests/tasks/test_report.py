"""`python run.py task=report` and `task=inspect` as a user runs them."""

from pathlib import Path

import pytest

from rsgrpo import run_folder
from tests.comparison.reports import write_arms, write_visits
from tests.tasks.test_audit import run_py
from tests.tasks.test_compare import slow


def test_a_report_is_a_folder_with_a_page(tmp_path: Path):
    write_arms(tmp_path, 2)
    words = ("task=report", "runs=[grpo0,grpo1,ours0,ours1]")
    done = run_py(tmp_path, *words, "hydra.run.dir=rep")
    assert done.returncode == 0, done.stderr
    assert f"open {tmp_path}/rep/report.html" in done.stdout
    names = {path.name for path in (tmp_path / "rep").iterdir()}
    assert names == {"compare.json", "config.yaml", "figures", "report.html", "report.json", "tables"}
    content = run_folder.read_json(tmp_path / "rep" / run_folder.REPORT)
    assert content["command"] == "python run.py task=report 'runs=[grpo0,grpo1,ours0,ours1]'"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=report", "runs=nowhere"], "runs: nowhere is not a folder"),
        slow(["task=report"], "runs is not set"),
        slow(["task=report", "runs=[grpo0,grpo0/../grpo0]", "task.measures=[pass@9]"], "measures: pass@9 needs 9"),
        slow(["task=report", "runs=[grpo0]", "task.baseline=c"], "task.baseline=c is none of the arms"),
        (["task=inspect"], "run is not set"),
        slow(["task=inspect", "run=nowhere"], "run=nowhere is not a folder"),
        slow(["task=inspect", "run=."], "is not a run"),
        slow(["task=inspect", "run=grpo0", "problem=[1]"], "problem=[1] must be the id of a problem"),
        slow(["task=inspect", "run=grpo0", "problem=train/9"], "did you mean problem=train/1"),
        slow(["task=inspect", "run=grpo0", "task.completions=-1"], "task.completions=-1"),
    ],
)
def test_mistakes_are_named_and_leave_no_folder(tmp_path: Path, words: list[str], said: str):
    write_visits(write_arms(tmp_path)[0], {"train/1": 1})
    done = run_py(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_problem_is_inspected_without_a_folder(tmp_path: Path):
    write_visits(write_arms(tmp_path)[0], {"train/1": 4})
    done = run_py(tmp_path, "task=inspect", "run=grpo0", "problem=train/1")
    assert done.returncode == 0, done.stderr
    assert "4 of 8" in done.stdout
    assert "visited 1 time in training, solved at 1 of them, first in iteration 10" in done.stdout
    assert "is \\boxed{1}" in done.stdout
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_without_a_problem_those_that_changed_most_are_listed(tmp_path: Path):
    write_arms(tmp_path)
    done = run_py(tmp_path, "task=inspect", "run=grpo0")
    assert done.returncode == 0, done.stderr
    assert "problem 8" in done.stdout
    assert "'problem=\"problem 8\"'" in done.stdout

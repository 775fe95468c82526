"""One problem of a run over training."""

from pathlib import Path

import pytest

from rsgrpo.comparison.history import changed_most, history
from rsgrpo.comparison.runs import read_run
from rsgrpo.errors import UserError
from tests.comparison.folders import changed, write_run
from tests.comparison.reports import write_visits


def run_of(tmp_path: Path):
    folder = write_run(tmp_path / "run", changed(), {0: [1, 4, 4], 30: [8, 8, 8], 60: [5, 4, 2]})
    write_visits(folder, {"train/1": 2, "train/2": 0}, iteration=10)
    write_visits(folder, {"train/1": 8}, iteration=20)
    return read_run(folder)


def test_evaluations_visits_and_completions_of_a_problem(tmp_path: Path):
    run = run_of(tmp_path)
    found = history(run, "problem 2")
    assert [(one.where, one.iteration, one.accuracy) for one in found.asked] == [
        ("test", 0, 0.5),
        ("test", 30, 1.0),
        ("test", 60, 0.25),
    ]
    trained = history(run, "train/1")
    assert trained.text == "the text of train/1"
    assert [(one.where, one.iteration, one.correct, one.n) for one in trained.asked] == [
        ("train", 10, 2, 8),
        ("train", 20, 8, 8),
    ]
    assert [(one.iteration, one.reward) for one in trained.completions] == [(10, 1.0), (10, 0.0), (20, 1.0), (20, 0.0)]


def test_the_problems_that_changed_most_by_split(tmp_path: Path):
    found = changed_most(run_of(tmp_path))
    rose, fell = found["test"]
    assert [(change.problem, change.size) for change in rose] == [("problem 0", 0.5)]
    assert [(change.problem, change.size) for change in fell] == [("problem 2", -0.25)]
    assert [change.problem for change in found["train"][0]] == ["train/1"]
    assert "validation" not in found


def test_an_unknown_problem_names_near_ones(tmp_path: Path):
    with pytest.raises(UserError, match=r"^problem: .*run has no train/3; did you mean problem=train/[12]"):
        history(run_of(tmp_path), "train/3")


def test_a_run_that_asked_nothing_twice_has_no_changes(tmp_path: Path):
    with pytest.raises(UserError, match="has asked no problem twice"):
        changed_most(read_run(write_run(tmp_path / "run", changed(), {0: [1, 2]})))

"""The tables at the end of a run, from records small enough to count by hand."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.summary import dear_tests, pass_table


def a_result(iteration: int, correct: int, **facts: Any) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "problem_id": "p",
        "n": 4,
        "correct": correct,
        "mean_tokens": 9.0,
        "truncated": 0,
        "facts": facts,
    }


def printed(run: Path, results: list[dict[str, Any]]) -> list[list[str]]:
    """The cells of each row."""
    (run / run_folder.CONFIG).write_text("eval: {k: [1, 4]}\n")
    (run / run_folder.TEST).parent.mkdir()
    run_folder.append(run / run_folder.TEST, results)
    out = io.StringIO()
    Console(file=out, width=200).print(pass_table(run, [{"iteration": 2, "train/reward_mean": 0.5}]))
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines() if "│" in line]


def test_several_datasets_have_a_line_each_below_that_of_all_problems(tmp_path: Path):
    results = [a_result(0, 1, dataset="aime24"), a_result(0, 3, dataset="math500"), a_result(2, 4, dataset="math500")]
    rows = printed(tmp_path, results)
    assert [row[:3] for row in rows] == [
        ["base", "0.500", "1.000"],
        ["aime24", "0.250", "1.000"],
        ["math500", "0.750", "1.000"],
        ["iteration 2", "1.000", "1.000"],
    ]


def test_one_dataset_or_none_has_the_line_of_all_problems_alone(tmp_path: Path):
    assert [row[0] for row in printed(tmp_path, [a_result(0, 1, dataset="aime24"), a_result(0, 2, level=1)])] == [
        "base"
    ]


def test_tests_that_take_long_are_told_with_the_cure(tmp_path: Path):
    """Three tests of 10 s in a run of 100 s: to be 15 % of it they may take 12.4 s beside the other 70."""
    (tmp_path / run_folder.CONFIG).write_text("eval: {test_every: 10}\n")
    run_folder.write_json(tmp_path / run_folder.DONE, {"iteration": 40, "seconds": {"total": 100.0}})
    tests = [{"iteration": i, "time/eval_test_s": 10.0} for i in (0, 10, 20, 30)]
    run_folder.append(tmp_path / run_folder.METRICS, [*tests, {"iteration": 40, "time/eval_test_s": 50.0}])
    assert dear_tests(tmp_path) == pytest.approx((0.3, 25, 12 / 82))
    run_folder.write_json(
        tmp_path / run_folder.DONE, {"iteration": 40, "resumed_from": 20, "seconds": {"total": 100.0}}
    )
    assert dear_tests(tmp_path) is None, "of this process, 10 s"

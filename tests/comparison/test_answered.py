"""Measures of answers and rewards, from the samples of `task=evaluate`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsgrpo.comparison.compare import Comparison, Row, compare
from rsgrpo.comparison.curves import unique_answer_curves
from rsgrpo.comparison.measures import measure
from rsgrpo.comparison.problems import only_solved
from rsgrpo.comparison.runs import read_run
from rsgrpo.errors import UserError
from rsgrpo.measures.answers import majority_at_k, unique_at_k
from rsgrpo.measures.pass_at_k import pass_at_k
from tests.comparison.folders import changed, write_evaluation, write_run

Sample = tuple[str | None, bool]

RIGHT: Sample = ("7", True)
SURE: list[Sample] = [RIGHT] * 8
SPLIT: list[Sample] = [
    RIGHT,
    RIGHT,
    ("3", False),
    ("3", False),
    ("3", False),
    ("1", False),
    (None, False),
    (None, False),
]
LOST: list[Sample] = [("1", False), ("2", False), ("3", False), ("4", False), *[(None, False)] * 4]


def compared(folders: list[Path], *measures: str) -> Comparison:
    return compare([read_run(folder) for folder in folders], [measure(name) for name in measures])


def row(found: Comparison, name: str, arm: str) -> Row:
    return next(row for row in found.rows if (row.measure, row.arm) == (name, arm))


def two_policies(tmp_path: Path, **columns: Any) -> list[Path]:
    """The base, and a trained policy that solves the last problem."""
    write_run(tmp_path / "run", changed(), {0: [0], 60: [8]})
    base = write_evaluation(tmp_path / "base", [SURE, SPLIT, LOST], **columns)
    policy = str(tmp_path / "run" / "policy")
    trained = write_evaluation(tmp_path / "trained", [SURE, SPLIT, SPLIT], policy=policy, **columns)
    return [base, trained]


def test_majority_and_distinct_answers_are_those_of_the_samples(tmp_path: Path):
    found = compared(two_policies(tmp_path), "maj@4", "unique@4", "answer_entropy")
    votes = ([8], [True]), ([3, 2, 1], [False, True, False]), ([1, 1, 1, 1], [False] * 4)
    expected = np.mean([majority_at_k(v, right, 8, 4) for v, right in votes])
    assert row(found, "maj@4", "base").mean.estimate == pytest.approx(expected)
    expected = np.mean([unique_at_k(v, 8, 4) for v, _ in votes])
    assert row(found, "unique@4", "base").mean.estimate == pytest.approx(expected)
    entropy = row(found, "answer_entropy", "base").mean.estimate
    assert entropy == pytest.approx((0 + 1.0114042647073518 + np.log(4)) / 3)  # of shares 1/2, 1/3, 1/6
    gain = row(found, "maj@4", "rs_grpo").difference
    assert gain is not None
    assert gain.estimate == pytest.approx(majority_at_k(*votes[1], 8, 4) / 3)


def test_the_best_of_graded_rewards_may_exceed_1(tmp_path: Path):
    rewards = {(i, start): [0.0, 5.0, 1.0, 2.0] for i in range(3) for start in (0, 4)}
    found = compared(two_policies(tmp_path, rewards=rewards), "max@8", "max@1", "pass@1")
    assert row(found, "max@8", "base").mean.estimate == 5
    assert row(found, "max@1", "base").mean.estimate == 2
    assert not measure("max@8").is_share
    assert measure("maj@8").is_share


def test_an_answer_stands_beside_what_only_one_solves(tmp_path: Path):
    folders = two_policies(tmp_path, texts={"0": "so it is 7"})
    (only,) = only_solved(compared(folders, "pass@1"))
    (solved,) = only.listed_second
    assert (solved.problem, solved.correct, solved.answer, solved.completion) == ("problem 2", 2, "7", "so it is 7")


def test_the_share_of_distinct_answers_is_a_curve(tmp_path: Path):
    (panel,) = unique_answer_curves(compared(two_policies(tmp_path), "pass@1"))
    base, _ = panel.lines
    assert list(base.x) == [1, 2, 4, 8]
    assert base.y[3] == pytest.approx((1 + 3 + 4) / 8 / 3)
    assert base.y[0] == pytest.approx((8 + 6 + 4) / 8 / 3)  # a sample without an answer adds none


def test_counts_are_those_of_the_samples(tmp_path: Path):
    found = compared(two_policies(tmp_path), "pass@4")
    expected = np.mean([pass_at_k(8, c, 4) for c in (8, 2, 0)])
    assert row(found, "pass@4", "base").mean.estimate == pytest.approx(expected)


def test_measures_of_samples_are_refused_where_there_are_none(tmp_path: Path):
    folders = two_policies(tmp_path)
    with pytest.raises(UserError, match=r"maj@4 needs each sample.*task=evaluate model.path=\S+run"):
        compared([tmp_path / "run"], "maj@4")
    (folders[0] / "eval" / "test.samples.jsonl.gz").unlink()
    with pytest.raises(UserError, match=r"max@4 needs each sample, and .*base has no file of them"):
        compared(folders, "max@4")
    with pytest.raises(UserError, match="maj@9 needs 9 samples of each problem"):
        compared([folders[1]], "maj@9")
    with pytest.raises(UserError, match="measures: maj@0 is of no samples; take a k of at least 1"):
        measure("maj@0")


def test_measures_of_answers_are_refused_under_a_reward_that_finds_none(tmp_path: Path):
    folders = two_policies(tmp_path, answers=None)
    with pytest.raises(UserError, match=r"unique@2 needs answers, and the reward of .*base does not say"):
        compared(folders, "unique@2")
    assert unique_answer_curves(compared(folders, "max@2")) == []

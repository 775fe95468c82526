"""The band that runs elsewhere have to lie in."""

import random

import numpy as np
import pytest

from rsgrpo.bench.records import Record
from rsgrpo.bench.reproduction import band, difference
from rsgrpo.bench.scores import score_named
from rsgrpo.errors import UserError
from tests.bench.records import record

SCORE = score_named("pass@1")


def runs(arm: str, rng: random.Random, mean: float, task: str, seeds: range, bases: int = 2) -> list[Record]:
    """Runs whose pass@1 is normal around `mean`, with a deviation of .03, and a base that adds to every arm alike."""
    found = []
    for base in range(bases):
        for seed in seeds:
            right = round(10_000 * min(1.0, max(0.0, rng.gauss(mean + 0.1 * base, 0.03))))
            found.append(record(arm, task=task, base=base, seed=seed, n=10_000, after=(right,), before=(0,)))
    return found


def committed(rng: random.Random, tasks: tuple[str, ...], gain: float) -> list[Record]:
    """Six runs of each arm and task."""
    arms = {"grpo": 0.3, "mine": 0.3 + gain}
    return [one for t in tasks for arm, mean in arms.items() for one in runs(arm, rng, mean, t, range(3))]


@pytest.mark.parametrize("tasks", [("a",), ("a", "b")])
def test_a_correct_build_lies_inside_as_often_as_it_says_and_a_placebo_seldom(tasks: tuple[str, ...]) -> None:
    inside, placebo, promised, trials = 0, 0, [], 150
    for trial in range(trials):
        rng = random.Random(trial)
        known = committed(rng, tasks, 0.3)
        expected = band(known, tasks, "mine", "grpo", SCORE, 3)
        new = [
            one
            for task in tasks
            for arm, mean in (("grpo", 0.3), ("mine", 0.6), ("twin", 0.3))
            for one in runs(arm, rng, mean, task, range(100, 103), bases=1)
        ]
        inside += expected.low <= difference(new, tasks, "mine", "grpo", SCORE) <= expected.high
        placebo += expected.low <= difference(new, tasks, "twin", "grpo", SCORE) <= expected.high
        promised.append(expected.rejected)

    assert inside >= 0.965 * trials  # .99, less three standard deviations of the count
    assert abs(placebo / trials - (1 - np.mean(promised))) < 0.05


def test_the_band_is_around_the_committed_difference() -> None:
    known = committed(random.Random(0), ("a",), 0.2)
    expected = band(known, ["a"], "mine", "grpo", SCORE, 3)

    assert expected.expected == pytest.approx(difference(known, ["a"], "mine", "grpo", SCORE))
    assert (expected.low + expected.high) / 2 == pytest.approx(expected.expected)
    assert (expected.committed, expected.runs) == (6, 3)


def test_a_claim_without_committed_runs_is_refused() -> None:
    with pytest.raises(UserError, match="b has 0 committed pairs of mine and grpo; 3 are needed"):
        band(committed(random.Random(0), ("a",), 0.2), ["a", "b"], "mine", "grpo", SCORE, 3)

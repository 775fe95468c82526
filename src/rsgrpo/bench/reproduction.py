"""Whether runs elsewhere show what the committed ones have shown: a band for the mean paired difference of two arms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rsgrpo.bench.records import Record
from rsgrpo.bench.scores import Score
from rsgrpo.errors import UserError

ACCEPTED = 0.99
"""The chance that a correct build lies in the band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Where the mean over tasks and runs of score(arm) - score(baseline) has to lie."""

    low: float
    high: float
    expected: float
    """The same of the committed runs."""
    committed: int
    """How many pairs of runs it rests on, of each task."""
    runs: int
    """How many new pairs of each task it is for."""
    rejected: float
    """The chance that the baseline against itself, with as many runs, lies outside."""


def band(records: Sequence[Record], tasks: Sequence[str], arm: str, baseline: str, score: Score, runs: int) -> Band:
    """Student's prediction interval of the difference that `runs` new pairs of each task show.

    With d_t and s_t the mean and the deviation of the n_t committed differences of task t, the statistic is the mean
    over the tasks, and its band d +- t_nu q, where d = mean_t d_t and q^2 = sum_t s_t^2 (1 / n_t + 1 / runs) / T^2. nu
    are Welch and Satterthwaite's degrees of freedom. The placebo is normal around 0 with the variance
    sum_t 2 v_t / runs / T^2, v_t that of the baseline's runs within a base.

    Raises:
        UserError: when a task has fewer than three committed pairs.
    """
    differences = {task: _differences(records, task, arm, baseline, score) for task in tasks}
    if short := [task for task, found in differences.items() if len(found) < 3]:
        raise UserError(
            f"{short[0]} has {len(differences[short[0]])} committed pairs of {arm} and {baseline}; 3 are needed"
        )
    means = [float(np.mean(list(found.values()))) for found in differences.values()]
    parts = [float(np.var(list(own.values()), ddof=1)) * (1 / len(own) + 1 / runs) for own in differences.values()]
    degrees = sum(parts) ** 2 / sum(
        part**2 / (len(own) - 1) for part, own in zip(parts, differences.values(), strict=True)
    )
    spread = math.sqrt(sum(parts)) / len(tasks)
    half = float(stats.t.ppf((1 + ACCEPTED) / 2, degrees)) * spread
    expected = float(np.mean(means))
    noise = math.sqrt(sum(2 * _within_bases(records, task, baseline, score) / runs for task in tasks)) / len(tasks)
    inside = stats.norm.cdf(expected + half, scale=noise) - stats.norm.cdf(expected - half, scale=noise)
    return Band(
        low=expected - half,
        high=expected + half,
        expected=expected,
        committed=min(map(len, differences.values())),
        runs=runs,
        rejected=float(1 - inside),
    )


def difference(records: Sequence[Record], tasks: Sequence[str], arm: str, baseline: str, score: Score) -> float:
    """The mean over the tasks of the mean paired difference."""
    found = [_differences(records, task, arm, baseline, score) for task in tasks]
    return float(np.mean([np.mean(list(own.values())) for own in found]))


def _differences(
    records: Sequence[Record], task: str, arm: str, baseline: str, score: Score
) -> Mapping[tuple[str, int], float]:
    own, theirs = (
        {r.pair: score.of(r) for r in records if (r.task, r.arm) == (task, name)} for name in (arm, baseline)
    )
    return {pair: own[pair] - theirs[pair] for pair in sorted(own.keys() & theirs.keys())}


def _within_bases(records: Sequence[Record], task: str, arm: str, score: Score) -> float:
    """The variance of an arm's runs around the mean of their base."""
    by_base: dict[int, list[float]] = {}
    for record in records:
        if (record.task, record.arm) == (task, arm):
            by_base.setdefault(record.base, []).append(score.of(record))
    squares = sum(float(np.sum((np.array(own) - np.mean(own)) ** 2)) for own in by_base.values())
    return squares / max(1, sum(len(own) - 1 for own in by_base.values()))

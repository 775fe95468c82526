"""Intervals over samples: how far pass@k of these very problems would move with other samples of them."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import stats

from rsgrpo.intervals.base import LEVEL, Interval
from rsgrpo.intervals.problems import near_bound
from rsgrpo.measures.pass_at_k import Counts, ladder

Values = Float[np.ndarray, " P"]
"""One value per problem."""

SHARE = 0.5
"""Of the samples of a problem: a k above it leaves too few subsets to tell a variance from."""


def sampling_interval(n: Counts, correct: Counts, k: int, *, level: float = LEVEL) -> Interval:
    """Normal interval of the mean over fixed problems of pass@k, by the jackknife over the samples of each problem.

    Leaving out one sample gives pass@k of (n - 1, c - 1) for each of the c correct ones, and of (n - 1, c) for the
    others; the variance of a problem is (n - 1) / n times the sum of their squared distances from pass@k of (n, c).
    Problems are independent, so the error is the root of the summed variances, over the number of problems.

    It is flagged as unreliable where k is more than half of the samples, where two problems carry more than half of the
    variance, and where the mean is nearer to 0 or 1 than one problem can move it. A problem that no sample has solved
    counts as certain, so the error is a little too small.

    Raises:
        ValueError: when k is not between 1 and every n.
    """
    values = ladder(n, correct, [k])[k]
    nan, mean = float("nan"), float(values.mean())
    if k > SHARE * int(n.min()):
        flag = f"k={k} is more than half of the {n.min()} samples of a problem"
        return Interval(
            estimate=mean, low=nan, high=nan, error=nan, p=nan, units=int(n.sum()), unit="samples", flag=flag
        )
    variances = jackknifed(lambda n, c: ladder(n, c, [k])[k], n, correct)
    total = float(variances.sum())
    error = total**0.5 / len(values)
    margin = float(stats.norm.ppf((1 + level) / 2)) * error
    largest = float(np.sort(variances)[-2:].sum() / total) if total else 1.0
    return Interval(
        estimate=mean,
        low=max(0.0, mean - margin),
        high=min(1.0, mean + margin),
        error=error,
        p=float(2 * stats.norm.sf(abs(mean) / error)) if error else nan,
        units=int(n.sum()),
        unit="samples",
        flag=near_bound(mean, len(values), (0.0, 1.0)) or _flag(total, largest),
    )


def sampling_difference(
    first: tuple[Counts, Counts], second: tuple[Counts, Counts], k: int, *, level: float = LEVEL
) -> Interval:
    """Normal interval of pass@k(second) - pass@k(first) on the same fixed problems; the samples are independent.

    Raises:
        ValueError: as `sampling_interval`.
    """
    a, b = (sampling_interval(n, correct, k, level=level) for n, correct in (first, second))
    difference, error = b.estimate - a.estimate, float(np.hypot(a.error, b.error))
    margin = float(stats.norm.ppf((1 + level) / 2)) * error
    return Interval(
        estimate=difference,
        low=max(-1.0, difference - margin),
        high=min(1.0, difference + margin),
        error=error,
        p=float(2 * stats.norm.sf(abs(difference) / error)) if error > 0 else float("nan"),
        units=a.units + b.units,
        unit="samples",
        flag=a.flag or b.flag,
    )


def jackknifed(by_problem: Callable[[Counts, Counts], Values], n: Counts, correct: Counts) -> Values:
    """The jackknife variance over its samples of what `by_problem(n, correct)` says of each problem.

    Raises:
        ValueError: when a problem has a single sample, or `by_problem` needs all of them.
    """
    values = by_problem(n, correct)
    # Where there is no correct (or no wrong) sample to leave out, the count it is multiplied with is 0.
    without_right = by_problem(n - 1, np.maximum(correct - 1, 0))
    without_wrong = by_problem(n - 1, np.minimum(correct, n - 1))
    squares = correct * (without_right - values) ** 2 + (n - correct) * (without_wrong - values) ** 2
    return (n - 1) / n * squares


def _flag(total: float, largest: float) -> str | None:
    if not total:
        return "every problem is solved by all samples or by none"
    return f"two problems carry {largest:.0%} of the variance" if largest > 0.5 else None

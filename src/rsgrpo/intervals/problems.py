"""Intervals over problems: of a mean, and of a paired difference of two policies on the same problems.

Problems are the clusters: the samples of one problem stand or fall together, so each problem gives one value, and
resampling takes problems, within each benchmark.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import stats

from rsgrpo.intervals.base import LEVEL, Interval

RESAMPLES = 4000

FEWEST_DIFFERENT = 5
"""Paired differences that are not zero, below which they carry no interval."""

Values = Float[np.ndarray, " _"]
"""One value per problem of a benchmark."""


def mean_interval(
    benchmarks: Sequence[Values],
    *,
    weights: Sequence[float] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = LEVEL,
) -> Interval:
    """Bootstrap-t interval of a mean of benchmark means, sum_h w_h mean(x_h), with error^2 = sum_h w_h^2 s_h^2 / n_h.

    Within each benchmark problems are drawn with replacement, and t* = (mean* - mean) / error* replaces Student's t
    where it reaches further than that: of the two, each end takes the outer one. See Efron and Tibshirani, "An
    Introduction to the Bootstrap" (1993), chapter 12. The interval is clipped to `bounds`. Without `weights` all
    problems weigh the same.

    It is flagged as unreliable where two problems carry more than half of the squared deviations, and where the mean is
    nearer to a bound than one problem can move it.
    `benchmarks/interval_coverage.py` has what it covers.

    Raises:
        ValueError: when a benchmark has no problem.
    """
    sizes = np.array([len(values) for values in benchmarks])
    if not len(sizes) or sizes.min() < 1:
        raise ValueError("an interval needs a problem in each benchmark")
    w = sizes / sizes.sum() if weights is None else np.asarray(weights, dtype=float)
    estimate = float(sum(w_h * values.mean() for w_h, values in zip(w, benchmarks, strict=True)))
    if sizes.min() < 2:
        return _without(estimate, sizes, "a benchmark has a single problem")
    deviations = [values - values.mean() for values in benchmarks]
    shares = np.concatenate([w_h**2 * d**2 / len(d) ** 2 for w_h, d in zip(w, deviations, strict=True)])
    # Equal values differ from their mean by its rounding.
    if shares.max() <= (1e-12 * max(1.0, abs(estimate))) ** 2:
        return _without(estimate, sizes, "all problems have the same value")
    error = float(np.sqrt(_variance(w, deviations)))
    moved, errors = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for w_h, d in zip(w, deviations, strict=True):
        drawn = _resampled(len(d))
        mean = drawn @ d / len(d)
        moved += w_h * mean
        errors += w_h**2 * np.maximum(drawn @ d**2 / len(d) - mean**2, 0) / (len(d) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(moved / np.sqrt(errors), nan=0.0)
    student = stats.t(int((sizes - 1).sum()))
    low_t, high_t = np.quantile(t, [(1 - level) / 2, (1 + level) / 2], method="higher")
    margin, observed = student.ppf((1 + level) / 2), estimate / error
    largest = float(np.sort(shares)[-2:].sum() / shares.sum())
    return Interval(
        estimate=estimate,
        low=float(np.clip(estimate - max(high_t, margin) * error, *bounds)),
        high=float(np.clip(estimate - min(low_t, -margin) * error, *bounds)),
        error=error,
        p=max(_p_value(t, observed), float(2 * student.sf(abs(observed)))),
        units=int(sizes.sum()),
        unit="problems",
        flag=near_bound(estimate, int(sizes.sum()), bounds)
        or (f"two problems carry {largest:.0%} of the squared deviations" if largest > 0.5 else None),
    )


def near_bound(estimate: float, problems: int, bounds: tuple[float, float]) -> str | None:
    """What is wrong with a mean that is nearer to a bound than one problem can move it; None when it is not."""
    distance = min(estimate - bounds[0], bounds[1] - estimate)
    return f"the mean is within one problem of {problems} of its limit" if distance * problems < 1 else None


def difference_interval(
    first: Sequence[Values],
    second: Sequence[Values],
    *,
    weights: Sequence[float] | None = None,
    bounds: tuple[float, float] = (-1.0, 1.0),
    level: float = LEVEL,
) -> Interval:
    """Interval of mean(second) - mean(first) over the same problems, by `mean_interval` of the paired differences.

    It is flagged as unreliable as well where fewer than 5 differences are not zero.

    Raises:
        ValueError: when the two do not have the same numbers of problems.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    interval = mean_interval(differences, weights=weights, bounds=bounds, level=level)
    different = sum(int((np.abs(d) > 1e-12).sum()) for d in differences)
    if different >= FEWEST_DIFFERENT or interval.flag is not None:
        return interval
    return replace(interval, flag=f"only {different} of {interval.units} problems differ")


@lru_cache(maxsize=16)
def _resampled(size: int) -> Float[np.ndarray, "draws P"]:
    """How often each problem is drawn in each resample: the same for all values, so that comparisons share them."""
    rng = np.random.default_rng(size)
    return rng.multinomial(size, np.full(size, 1 / size), size=RESAMPLES).astype(float)


def _variance(weights: Float[np.ndarray, " H"], deviations: Sequence[Values]) -> float:
    return float(sum(w**2 * (d @ d) / (len(d) - 1) / len(d) for w, d in zip(weights, deviations, strict=True)))


def _p_value(t: Float[np.ndarray, " draws"], observed: float) -> float:
    """Twice the smaller tail of t* beyond the observed t; the resamples are those of the interval, so the two agree."""
    above, below = (t >= observed).sum(), (t <= observed).sum()
    return float(min(1.0, 2 * (min(above, below) + 1) / (len(t) + 1)))


def _without(estimate: float, sizes: np.ndarray, why: str) -> Interval:
    nan = float("nan")
    return Interval(
        estimate=estimate, low=nan, high=nan, error=nan, p=nan, units=int(sizes.sum()), unit="problems", flag=why
    )

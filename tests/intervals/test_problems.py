"""Intervals over problems: hand values, what they cover, what they flag."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.interval_coverage import coverage
from rsgrpo.intervals.problems import difference_interval, mean_interval
from rsgrpo.intervals.samples import sampling_difference, sampling_interval
from rsgrpo.measures.pass_at_k import pass_at_k


def values(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).beta(0.5, 0.5, size)


def test_the_estimate_and_its_error_are_those_of_the_mean():
    x = values(40)
    found = mean_interval([x])
    assert found.estimate == pytest.approx(x.mean())
    assert found.error == pytest.approx(x.std(ddof=1) / 40**0.5)
    assert found.low < found.estimate < found.high
    assert (found.units, found.unit, found.flag) == (40, "problems", None)


def test_each_end_is_at_least_students():
    x = values(25)
    found, margin = mean_interval([x]), stats.t.ppf(0.975, 24) * x.std(ddof=1) / 5
    assert found.low <= x.mean() - margin + 1e-12
    assert found.high >= x.mean() + margin - 1e-12


def test_benchmarks_may_weigh_the_same_or_by_their_problems():
    small, large = values(10, 1), values(90, 2)
    by_problem = mean_interval([small, large])
    by_benchmark = mean_interval([small, large], weights=[0.5, 0.5])
    assert by_problem.estimate == pytest.approx(np.concatenate([small, large]).mean())
    assert by_benchmark.estimate == pytest.approx((small.mean() + large.mean()) / 2)
    expected = (small.var(ddof=1) / 10 + large.var(ddof=1) / 90) / 4
    assert by_benchmark.error**2 == pytest.approx(expected)


def test_a_paired_difference_is_surer_than_two_means():
    easy = values(60)
    better = np.clip(easy + 0.05 + 0.01 * np.random.default_rng(3).standard_normal(60), 0, 1)
    paired = difference_interval([easy], [better])
    assert paired.excludes_zero
    assert paired.p < 0.01
    assert mean_interval([better]).low < mean_interval([easy]).high
    assert difference_interval([better], [easy]).estimate == pytest.approx(-paired.estimate)


def test_the_interval_is_clipped_to_what_is_possible():
    x = values(40)
    found = mean_interval([x], bounds=(x.mean() - 0.01, x.mean() + 0.01))
    assert (found.low, found.high) == pytest.approx((x.mean() - 0.01, x.mean() + 0.01))


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.array([0.5]), "single problem"),
        (np.full(30, 0.1), "same value"),
        (np.array([*[0.0] * 28, 1.0, 1.0]), "two problems carry"),
    ],
)
def test_a_mean_that_rests_on_too_little_is_flagged(x, why):
    assert why in str(mean_interval([x]).flag)
    assert not mean_interval([x], bounds=(-1, 1)).excludes_zero


def test_few_differences_are_flagged():
    first = np.zeros(100)
    second = first.copy()
    second[:4] = 0.5
    assert "only 4 of 100 problems differ" in str(difference_interval([first], [second]).flag)
    second[4:8] = 0.5
    assert difference_interval([first], [second]).flag is None


def test_p_and_the_interval_agree():
    rng = np.random.default_rng(5)
    for _ in range(50):
        x = rng.normal(0.12, 0.5, 40).clip(-1, 1)
        found = mean_interval([x], bounds=(-1, 1))
        if abs(found.p - 0.05) > 0.005:  # the quantiles of a bootstrap have steps
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_jackknife_leaves_out_each_sample_once(k):
    n, correct = 8, 3
    left_out = [pass_at_k(n - 1, correct - (i < correct), k) for i in range(n)]
    variance = (n - 1) / n * sum((value - pass_at_k(n, correct, k)) ** 2 for value in left_out)
    found = sampling_interval(np.full(5, n), np.full(5, correct), k)
    assert found.error == pytest.approx((5 * variance) ** 0.5 / 5)
    assert found.estimate == pytest.approx(pass_at_k(n, correct, k))


def test_for_one_sample_the_jackknife_is_the_binomial_variance():
    n, correct = 20, 6
    found = sampling_interval(np.full(3, n), np.full(3, correct), 1)
    assert found.error**2 == pytest.approx(0.3 * 0.7 / (n - 1) / 3)


def test_samples_say_when_they_are_too_few():
    n, correct = np.full(9, 8), np.arange(9)
    assert "k=5 is more than half" in str(sampling_interval(n, correct, 5).flag)
    assert "by all samples or by none" in str(sampling_interval(n, np.array([0, 8] * 4 + [0]), 1).flag)
    assert sampling_difference((n, correct), (n, correct), 5).flag is not None
    assert sampling_difference((n, correct), (n, correct), 2).estimate == 0


@pytest.mark.slow
@pytest.mark.parametrize("difficulty", [(0.3, 0.3), (1.0, 1.0), (8.0, 8.0)])
@pytest.mark.parametrize(("problems", "k", "draws"), [(30, 1, 400), (500, 4, 200)])
def test_intervals_cover_the_truth(difficulty, problems, k, draws):
    a, b = difficulty
    for kind, (flagged, covers) in coverage(a, b, problems, k, draws=draws).items():
        assert flagged < 0.4, kind
        by_chance = 3 * (0.05 * 0.95 / (draws * (1 - flagged))) ** 0.5
        assert 0.92 - by_chance < covers < min(1, 0.98 + by_chance), kind


def test_coverage_is_told_for_what_is_not_flagged():
    found = coverage(1, 1, 30, 32, draws=5)
    assert found["mean"][0] > 0.5

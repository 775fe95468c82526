"""Intervals over runs, and several comparisons at once."""

import math

import numpy as np
import pytest
from scipy import stats

from rsgrpo.intervals.seeds import (
    bootstrapped_range,
    detectable,
    holm,
    paired_interval,
    pairs_to_show,
    probability_of_improvement,
    runs_interval,
)


def test_it_is_students_t():
    found = runs_interval([0.1, 0.2, 0.4])
    expected = stats.t.interval(0.95, 2, 0.7 / 3, stats.sem([0.1, 0.2, 0.4]))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.p == pytest.approx(stats.ttest_1samp([0.1, 0.2, 0.4], 0)[1])
    assert (found.units, found.unit) == (3, "runs")


def test_what_a_base_adds_to_every_arm_cancels():
    first = {("a", 0): 0.1, ("b", 0): 0.6, ("c", 0): 0.3}
    second = {("a", 0): 0.15, ("b", 0): 0.64, ("c", 0): 0.36, ("d", 0): 0.9}
    found = paired_interval(first, second)
    assert found.estimate == pytest.approx(0.05)
    assert found.excludes_zero
    assert found.units == 3
    assert not runs_interval(list(second.values())).low > max(first.values())


@pytest.mark.parametrize(("values", "why"), [([0.3], "a single run"), ([0.1, 0.1, 0.1], "all 3 runs")])
def test_runs_that_say_nothing_of_their_spread_have_no_interval(values, why):
    found = runs_interval(values)
    assert why in str(found.flag)
    assert math.isnan(found.low)
    assert not found.excludes_zero


def test_arms_without_a_common_pair_are_refused():
    with pytest.raises(ValueError, match="common"):
        paired_interval({("a", 0): 1.0}, {("a", 1): 1.0})
    with pytest.raises(ValueError, match="common"):
        probability_of_improvement({("a", 0): 1.0}, {("b", 0): 1.0})


@pytest.mark.parametrize("units", [3, 5, 9])
def test_students_interval_covers_where_a_percentile_bootstrap_does_not(units):
    rng, held, described = np.random.default_rng(0), 0, 0
    for _ in range(400):
        bases = rng.normal(0.5, 0.2, units)
        first = {(str(i), i): base + rng.normal(0, 0.02) for i, base in enumerate(bases)}
        second = {(str(i), i): base + 0.03 + rng.normal(0, 0.02) for i, base in enumerate(bases)}
        found = paired_interval(first, second)
        held += found.low <= 0.03 <= found.high
        differences = [second[pair] - first[pair] for pair in first]
        low, high = bootstrapped_range({"all": differences}, resamples=200)
        described += low <= 0.03 <= high
    assert 0.92 <= held / 400 <= 0.98
    assert described / 400 < {3: 0.85, 5: 0.9, 9: 0.95}[units]


def test_the_detectable_difference_is_found_as_often_as_it_says():
    rng, shown = np.random.default_rng(1), 0
    effect = detectable(0.02 / 8**0.5, 8)
    for _ in range(1000):
        shown += runs_interval(rng.normal(effect, 0.02, 8).tolist()).excludes_zero
    assert 0.76 < shown / 1000 < 0.86
    assert math.isnan(detectable(0.1, 1))


def test_how_many_pairs_it_takes():
    needed = pairs_to_show(0.02, 0.02)
    assert needed is not None
    assert detectable(0.02 / needed**0.5, needed) <= 0.02 < detectable(0.02 / (needed - 1) ** 0.5, needed - 1)
    assert pairs_to_show(1e-6, 1.0) is None


def test_probability_of_improvement_by_hand():
    first = {("a", 0): 1.0, ("a", 1): 2.0, ("b", 0): 9.0}
    second = {("a", 0): 2.0, ("a", 1): 3.0, ("b", 0): 8.0}
    # Base a: (2 > 1), (2 = 2), (3 > 1), (3 > 2): 3.5 of 4. Base b: 0.
    assert probability_of_improvement(first, second) == pytest.approx(3.5 / 4 / 2)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.5, float("nan"), 0.9])[1] != holm([0.5, float("nan"), 0.9])[1]
    assert holm([0.5, float("nan"), 0.9])[0] == 1.0

"""Kept, gained and lost problems, and what chance alone makes of them."""

import itertools
import math

import numpy as np
import pytest

from rsgrpo.measures.support import placebo, support
from rsgrpo.measures.transitions import BINS, bin_of, placebo_transitions, transitions


def test_with_n_equal_to_k_it_counts_sets():
    n = np.full(5, 4)
    base, trained = np.array([0, 1, 4, 2, 0]), np.array([1, 0, 3, 4, 0])
    found = support((n, base), (n, trained), 4)
    assert (found.kept, found.gained, found.lost, found.neither) == pytest.approx((2, 1, 1, 1))
    assert found.srr == pytest.approx(2 / 3)
    assert found.ndr == pytest.approx(1 / 3)
    assert found.nscr == pytest.approx(0)
    assert found.sds == pytest.approx(2 * (2 / 9) / 1)


def test_with_more_samples_it_is_the_mean_over_all_draws():
    n, (b, t), k = 5, (2, 1), 2
    counts = {"kept": 0, "gained": 0, "lost": 0}
    draws = list(itertools.product(itertools.combinations(range(n), k), repeat=2))
    for base, trained in draws:
        hit = (any(i < b for i in base), any(i < t for i in trained))
        counts["kept"] += hit == (True, True)
        counts["gained"] += hit == (False, True)
        counts["lost"] += hit == (True, False)
    found = support((np.array([n]), np.array([b])), (np.array([n]), np.array([t])), k)
    for name, count in counts.items():
        assert getattr(found, name) == pytest.approx(count / len(draws)), name


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 1, 2), (6, 2, 2), (6, 3, 3), (7, 4, 2), (5, 0, 2), (5, 5, 1)])
def test_the_placebo_counts_disjoint_sets_of_the_same_samples(n, correct, k):
    kept = gained = total = 0
    for first in itertools.combinations(range(n), k):
        for second in itertools.combinations(sorted({*range(n)} - {*first}), k):
            hit = (any(i < correct for i in first), any(i < correct for i in second))
            kept += hit == (True, True)
            gained += hit == (False, True)
            total += 1
    found = placebo(np.array([n]), np.array([correct]), k)
    assert found.kept == pytest.approx(kept / total, abs=1e-12)
    assert found.gained == found.lost == pytest.approx(gained / total, abs=1e-12)


def test_a_placebo_needs_two_sets():
    with pytest.raises(ValueError, match="pass@6"):
        placebo(np.array([5]), np.array([1]), 3)


def test_ratios_of_nothing_are_not_numbers():
    nothing = support((np.array([2]), np.array([0])), (np.array([2]), np.array([0])), 1)
    assert all(math.isnan(ratio) for ratio in (nothing.srr, nothing.ndr, nothing.nscr, nothing.sds))


def test_chance_alone_gains_and_loses():
    rng = np.random.default_rng(0)
    n, correct = np.full(400, 64), rng.binomial(64, rng.beta(0.2, 2.0, 400))
    assert 0.02 < placebo(n, correct, 32).ndr < 0.2


def test_transitions_with_all_samples_count_problems():
    n = np.full(4, 10)
    found = transitions((n, np.array([0, 0, 10, 5])), (n, np.array([4, 0, 7, 5])), 10)
    expected = np.zeros((5, 5))
    expected[0, 1] = expected[0, 0] = expected[4, 3] = expected[2, 2] = 0.25
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "correct", "m"), [(4, 2, 2), (6, 2, 2), (7, 3, 3), (6, 6, 3), (5, 0, 2)])
def test_the_placebo_of_transitions_counts_disjoint_sets(n, correct, m):
    expected, total = np.zeros((5, 5)), 0
    for first in itertools.combinations(range(n), m):
        for second in itertools.combinations(sorted({*range(n)} - {*first}), m):
            c1, c2 = (sum(i < correct for i in drawn) for drawn in (first, second))
            expected[bin_of(c1, m), bin_of(c2, m)] += 1
            total += 1
    found = placebo_transitions(np.array([n]), np.array([correct]), m)
    assert found == pytest.approx(expected / total, abs=1e-12)


def test_the_bins_are_those_of_the_paper():
    assert [BINS[bin_of(c, 5)] for c in range(6)] == ["0", "(0, .4]", "(0, .4]", "(.4, .6]", "(.6, 1)", "1"]

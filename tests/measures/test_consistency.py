"""pass^k, G-pass@k and cover@tau against counting all subsets."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from rsgrpo.measures.consistency import covered, g_pass_at_k, mean_g_pass_at_k, needed, pass_hat_k
from rsgrpo.measures.pass_at_k import pass_at_k


def counted(n: int, correct: int, k: int, at_least: int) -> Fraction:
    """The share of the k-subsets of n samples that hold `at_least` of the first `correct`."""
    subsets = list(itertools.combinations(range(n), k))
    return Fraction(sum(sum(i < correct for i in subset) >= at_least for subset in subsets), len(subsets))


CASES = [(n, c, k) for n in range(1, 7) for c in range(n + 1) for k in range(1, n + 1)]


@pytest.mark.parametrize("tau", [0.1, 0.25, 0.5, 2 / 3, 0.75, 1.0])
def test_g_pass_at_k_counts_the_subsets_with_enough_correct_samples(tau):
    for n, c, k in CASES:
        found = g_pass_at_k(np.array([n]), np.array([c]), k, tau)[0]
        assert found == pytest.approx(float(counted(n, c, k, max(1, math.ceil(tau * k - 1e-9)))), abs=1e-12), (n, c, k)


def test_its_ends_are_pass_at_k_and_pass_hat_k():
    for n, c, k in CASES:
        one, two = np.array([n]), np.array([c])
        assert g_pass_at_k(one, two, k, 1e-6)[0] == pytest.approx(pass_at_k(n, c, k), abs=1e-12)
        assert pass_hat_k(one, two, k)[0] == pytest.approx(math.comb(c, k) / math.comb(n, k), abs=1e-12)


def test_mean_g_pass_at_k_is_the_mean_over_thresholds_above_one_half():
    for n, c, k in CASES:
        thresholds = range(math.ceil(k / 2) + 1, k + 1)
        expected = 2 / k * sum(float(counted(n, c, k, i)) for i in thresholds)
        assert mean_g_pass_at_k(np.array([n]), np.array([c]), k)[0] == pytest.approx(expected, abs=1e-12), (n, c, k)


def test_thresholds_forgive_their_rounding():
    assert needed(0.28, 25) == 7  # 0.28 * 25 is 7.000000000000001
    assert covered(np.array([25]), np.array([7]), 0.28).tolist() == [True]
    assert covered(np.array([25]), np.array([6]), 0.28).tolist() == [False]


def test_pass_at_k_is_an_average_of_cover_at_tau():
    # With as many samples as it takes, c / n is p, and pass@k is cover@tau weighted with k (1 - tau)^(k - 1).
    p, k = np.array([0.05, 0.3, 0.9]), 4
    n = np.full(3, 10**6)
    middles = (np.arange(20_000) + 0.5) / 20_000
    cover = np.array([covered(n, np.round(p * n).astype(int), tau).mean() for tau in middles])
    assert (cover * k * (1 - middles) ** (k - 1)).mean() == pytest.approx((1 - (1 - p) ** k).mean(), abs=1e-4)


@pytest.mark.parametrize(("k", "tau"), [(0, 0.5), (5, 0.5), (2, 0.0), (2, 1.1)])
def test_what_makes_no_sense_is_refused(k, tau):
    with pytest.raises(ValueError, match=r"tau=|k="):
        g_pass_at_k(np.array([4, 9]), np.array([1, 1]), k, tau)

"""The kernel of pass@k and max@k against brute force over every subset, in exact fractions."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgrpo.measures.pass_at_k import pass_at_k
from rsgrpo.objectives.subset_max import centred_max, gain, shortfall, subset_std, subset_weights
from tests.objectives.cases import binary_group

GROUPS = {
    "binary": [0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
    "one success": [0.0, 0.0, 0.0, 1.0, 0.0],
    "all equal": [0.3, 0.3, 0.3, 0.3],
    "continuous": [0.2, 0.9, 0.0, 0.55, 1.0, 0.31],
    "negative": [-0.4, -2.5, -0.1, -7.0, -0.3],
    "ties and signs": [-1.0, 2.0, 2.0, 0.0, -1.0, 0.5, 2.0],
    "large and small": [1e6, -1e-6, 3.0, 1e6, 0.0],
    "two": [0.25, -0.5],
    "one": [0.7],
}
EACH_K = pytest.mark.parametrize(
    ("rewards", "k"),
    [pytest.param(r, k, id=f"{name}, k={k}") for name, r in GROUPS.items() for k in range(1, len(r) + 1)],
)


def exactly(rewards):
    """A float is a fraction: nothing is rounded."""
    return [Fraction(r) for r in rewards]


def mean(values):
    return sum(values, Fraction(0)) / len(values)


def brute_shortfall(rewards, k):
    """max_j r_j minus the mean maximum of the k-subsets that hold i."""
    r = exactly(rewards)
    subsets = list(itertools.combinations(range(len(r)), k))
    return [max(r) - mean([max(r[j] for j in s) for s in subsets if i in s]) for i in range(len(r))]


def brute_gain(rewards, k):
    """The mean over (k-1)-subsets S of the others of max(r_i - max S, 0); r_i minus the mean of the others at k = 1."""
    r = exactly(rewards)
    if k == 1:
        return [r[i] - (sum(r) - r[i]) / (len(r) - 1) if len(r) > 1 else Fraction(0) for i in range(len(r))]
    others = [[r[j] for j in range(len(r)) if j != i] for i in range(len(r))]
    return [
        mean([max(r[i] - max(s), Fraction(0)) for s in itertools.combinations(others[i], k - 1)]) for i in range(len(r))
    ]


def brute_variance(rewards, k):
    maxima = [max(s) for s in itertools.combinations(exactly(rewards), k)]
    return mean([(m - mean(maxima)) ** 2 for m in maxima])


def group(rewards):
    return torch.tensor([rewards], dtype=torch.float64)


def close(got, exact, size):
    """Within rounding of float64, relative to the largest reward."""
    assert got[0].tolist() == pytest.approx([float(e) for e in exact], abs=4e-15 * size)


@EACH_K
def test_shortfall_is_brute_force(rewards, k):
    close(shortfall(group(rewards), k), brute_shortfall(rewards, k), max(map(abs, rewards)))


@EACH_K
def test_gain_is_brute_force(rewards, k):
    close(gain(group(rewards), k), brute_gain(rewards, k), max(map(abs, rewards)))


@EACH_K
def test_subset_std_is_brute_force(rewards, k):
    spread = max(rewards) - min(rewards)
    expected = math.sqrt(brute_variance(rewards, k))
    assert subset_std(group(rewards), k).item() == pytest.approx(expected, abs=1e-14 * spread)


@EACH_K
def test_centred_max_is_brute_force(rewards, k):
    missing = brute_shortfall(rewards, k)
    close(centred_max(group(rewards), k), [mean(missing) - m for m in missing], max(map(abs, rewards)))


QUARTERS = st.integers(-8, 8).map(lambda q: q / 4)


@settings(max_examples=60)
@given(rewards=st.lists(QUARTERS, min_size=1, max_size=6), data=st.data())
def test_any_group_with_ties_is_brute_force(rewards, data):
    k = data.draw(st.integers(1, len(rewards)))
    close(shortfall(group(rewards), k), brute_shortfall(rewards, k), 2)
    close(gain(group(rewards), k), brute_gain(rewards, k), 2)
    assert subset_std(group(rewards), k).item() ** 2 == pytest.approx(float(brute_variance(rewards, k)), abs=1e-14)


@pytest.mark.parametrize("n", [1, 2, 5, 16, 64])
def test_weights_are_ratios_of_binomials(n):
    for k in range(1, n + 1):
        expected = [float(Fraction(math.comb(j, k - 1), math.comb(n - 1, k - 1))) for j in range(n)]
        got = subset_weights(n, k)[0].tolist()
        assert got == pytest.approx(expected, rel=1e-13, abs=0)
        assert got[: k - 1] == [0.0] * (k - 1)  # exact zeros


@pytest.mark.parametrize(("n", "k"), [(1024, 32), (1024, 512), (4096, 4095)])
def test_large_groups_neither_overflow_nor_lose_digits(n, k):
    # C(4095, 2047) has over a thousand digits: as a float it is infinite.
    j = torch.tensor([k - 1, (n + k) // 2, n - 2, n - 1])
    expected = [float(Fraction(math.comb(i, k - 1), math.comb(n - 1, k - 1))) for i in j.tolist()]
    assert subset_weights(n, k)[0][j].tolist() == pytest.approx(expected, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize(("n", "c", "k"), [(16, 3, 4), (64, 1, 32), (1024, 5, 32), (16, 16, 8)])
def test_the_mean_over_a_binary_group_is_pass_at_k(n, c, k):
    assert 1 - shortfall(binary_group(c, n), k).mean().item() == pytest.approx(pass_at_k(n, c, k), abs=1e-13)
    rho = pass_at_k(n, c, k)
    assert subset_std(binary_group(c, n), k).item() == pytest.approx(math.sqrt(rho * (1 - rho)), abs=1e-12)


def test_gain_and_shortfall_by_hand():
    # Rewards 0, 1, 3 and pairs: those of 0 have maxima 1 and 3 (mean 2), of 1 also, of 3 both 3.
    rewards = group([0.0, 1.0, 3.0])
    assert shortfall(rewards, 2)[0].tolist() == [1.0, 1.0, 0.0]
    # 1 adds 1 to the 0 and nothing to the 3; 3 adds 3 and 2.
    assert gain(rewards, 2)[0].tolist() == [0.0, 0.5, 2.5]
    # Maxima of the pairs: 1, 3, 3; mean 7/3, variance (16 + 4 + 4) / 27 = 8/9.
    assert subset_std(rewards, 2).item() == pytest.approx(math.sqrt(8 / 9), abs=1e-13)


@pytest.mark.parametrize("function", [shortfall, gain, subset_std, centred_max])
def test_each_group_may_have_a_k_of_its_own(function):
    rewards = torch.tensor([GROUPS["continuous"]] * 4, dtype=torch.float64)
    ks = torch.tensor([[1], [3], [4], [6]])
    expected = torch.cat([function(rewards[:1], k) for k in ks[:, 0].tolist()])
    torch.testing.assert_close(function(rewards, ks), expected, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("function", [shortfall, subset_std, centred_max])
@pytest.mark.parametrize("reward", [0.1, -0.7, 1e30, 1.0])
def test_equal_rewards_give_exactly_nothing(function, reward):
    assert function(torch.full((1, 7), reward), 3).eq(0).all()


@pytest.mark.parametrize("k", [1, 3, 6])
def test_results_stay_with_their_completions(k):
    rewards, order = group(GROUPS["continuous"]), [4, 0, 5, 2, 1, 3]
    for function in (shortfall, gain, centred_max):
        torch.testing.assert_close(
            function(rewards[:, order], k), function(rewards, k)[:, order], atol=1e-13, rtol=1e-13
        )


def test_neither_is_ever_negative():
    rewards = torch.randn(200, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for k in (2, 5, 9):
        assert shortfall(rewards, k).min().item() >= 0
        assert gain(rewards, k).min().item() >= 0

"""MaxPO: the leave-two-out definition, the identity that computes it with one sort, unbiased and centred."""

import itertools
import math

import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.rloo import RLOO
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import REWARDS, best_of, expected_gradient, gradient, moments

RANDOM = torch.randn(4, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def added(reward, others, k):
    """What a completion adds to k - 1 others: the mean of max(r - max S, 0) over their (k-1)-subsets S."""
    subsets = list(itertools.combinations(others, k - 1))
    return sum(max(reward - max(s), 0.0) if s else reward for s in subsets) / len(subsets)


def leave_two_out(rewards, k):
    """A_i = k (a_i - mean_(j != i) a_j without i): as defined, O(N^2) means over subsets."""
    n = len(rewards)
    result = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        own = added(rewards[i], [rewards[j] for j in others], k)
        rest = [added(rewards[j], [rewards[m] for m in others if m != j], k) for j in others]
        result.append(k * (own - sum(rest) / (n - 1)))
    return result


@pytest.mark.parametrize("k", range(1, 7))
def test_it_is_the_leave_two_out_definition(k):
    for rewards in [*RANDOM.tolist(), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0], [0.5, -1.0, 0.5, 2.0, 2.0, 2.0, 0.0]]:
        assert advantages_of(MaxPO(k=k), rewards).tolist() == pytest.approx(leave_two_out(rewards, k), abs=1e-12)


@pytest.mark.parametrize("k", range(1, 7))
def test_it_is_chen_without_sigma_scaled(k):
    scaled = k * 7 / (7 - k) * advantages_of(Chen(k=k, normalize_std=False), RANDOM)
    torch.testing.assert_close(advantages_of(MaxPO(k=k), RANDOM), scaled, atol=1e-14, rtol=1e-13)


def test_at_k_1_it_is_rloo():
    torch.testing.assert_close(advantages_of(MaxPO(k=1), RANDOM), advantages_of(RLOO(), RANDOM), atol=1e-14, rtol=0)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_advantages_of_a_group_sum_to_zero_and_ignore_a_constant(k):
    a = advantages_of(MaxPO(k=k), RANDOM)
    assert a.sum(dim=1).abs().max().item() < 1e-13
    torch.testing.assert_close(advantages_of(MaxPO(k=k), RANDOM + 5), a, atol=1e-12, rtol=0)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_binary_closed_form(k):
    # A+ = kN/(N-k) (1 - rho), A- = kN/(N-k) (1 - rho - C(N-c-1, k-1)/C(N-1, k-1)); 0 for c > N - k.
    n = 8
    for c in range(1, n):
        left = math.comb(n - c, k) / math.comb(n, k)
        wrong = left - math.comb(n - c - 1, k - 1) / math.comb(n - 1, k - 1)
        unit = k * n / (n - k)
        expected = [unit * left] * c + [unit * wrong] * (n - c)
        assert advantages_of(MaxPO(k=k), binary_group(c, n))[0].tolist() == pytest.approx(expected, abs=1e-13), c


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_its_expected_gradient_is_that_of_max_at_k(kind, k):
    truth = gradient(best_of(k), REWARDS[kind], 4)
    torch.testing.assert_close(expected_gradient(MaxPO(k=k), REWARDS[kind], 4), truth, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize(("p", "deviation"), [(0.05, 0.151), (0.25, 0.083), (0.6, 0.069)])
def test_its_standard_deviation_for_pass_at_4_in_groups_of_16(p, deviation):
    mean, got = moments(MaxPO(k=4), 16, p)
    assert mean == pytest.approx(4 * (1 - p) ** 3 * p * (1 - p), rel=1e-10)
    assert got == pytest.approx(deviation, abs=5.2e-4)  # .08248 is printed as .083


def test_leaving_two_out_takes_one_more_than_k():
    with pytest.raises(FieldError, match=r"k=4 is too large for maxpo .*N = 4 .*at most N - 1; try k=3,"):
        advantages_of(MaxPO(), [1.0, 0.0, 0.0, 0.0])
    assert advantages_of(MaxPO(k=3), [1.0, 0.0, 0.0, 0.0]).tolist() == pytest.approx([3.0, -1.0, -1.0, -1.0])


def test_a_k_below_1_is_refused():
    with pytest.raises(FieldError, match="k=0 must be at least 1; try k=1"):
        MaxPO(k=0)

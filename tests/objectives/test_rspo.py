"""RSPO: the integral it was derived from, its closed form for pass@k, and that it is PKPO's s_loo_minus_one."""

import itertools
import math
from statistics import mean

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rspo import RSPO
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import BINARY, REWARDS, best_of, expected_gradient, gradient


def integral(rewards, i, k):
    """k int_(-inf)^r_i F(t)^(k-1) dt, F^(k-1) estimated by the chance that k - 1 of the others all lie at or below t.

    Between neighbouring rewards the integrand is constant: C(number of others at or below t, k-1) / C(N-1, k-1).
    """
    others = sorted(rewards[:i] + rewards[i + 1 :])
    knots = [*[h for h in others if h < rewards[i]], rewards[i]]
    total = 0.0
    for low, high in itertools.pairwise(knots):
        below = sum(h <= low for h in others)
        total += (high - low) * math.comb(below, k - 1) / math.comb(len(others), k - 1)
    return k * total


@pytest.mark.parametrize("k", [2, 3, 5, 6])
@pytest.mark.parametrize("rewards", [[0.2, 0.9, 0.0, 0.55, 1.0, 0.31], [-1.0, 2.0, 2.0, 0.5, -1.0, -3.0]])
def test_it_is_the_integral(rewards, k):
    expected = [integral(rewards, i, k) for i in range(6)]
    assert advantages_of(RSPO(k=k), rewards).tolist() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("k", [2, 4, 8])
@pytest.mark.parametrize("correct", [0, 1, 4, 7, 8])
def test_pass_at_k_closed_form(correct, k):
    # A_i = k r_i C(N-1-c_(-i), k-1) / C(N-1, k-1): for a correct one c - 1 others are correct.
    right = k * math.comb(8 - correct, k - 1) / math.comb(7, k - 1)
    a = advantages_of(RSPO(k=k, metric="pass_at_k"), binary_group(correct, 8))[0].tolist()
    assert a == pytest.approx([right] * correct + [0.0] * (8 - correct), abs=1e-14)


def test_nobody_hitchhikes():
    # Of pairs, (0, 1) and (0.5, 1) have the maximum 1 whoever stands beside the 1: only what one adds counts.
    a = advantages_of(RSPO(k=2), [0.0, 0.5, 1.0]).tolist()
    assert a == pytest.approx([0.0, 2 * mean([0.5, 0.0]), 2 * mean([1.0, 0.5])], abs=1e-13)


def test_it_is_pkpo_s_loo_minus_one():
    rewards = torch.randn(5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for k in range(1, 10):
        torch.testing.assert_close(advantages_of(RSPO(k=k), rewards), advantages_of(PKPO(k=k), rewards))


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_its_expected_gradient_is_that_of_max_at_k(kind, k):
    truth = gradient(best_of(k), REWARDS[kind], 4)
    torch.testing.assert_close(expected_gradient(RSPO(k=k), REWARDS[kind], 4), truth, atol=1e-14, rtol=1e-10)


def test_with_pass_at_k_too():
    got = expected_gradient(RSPO(k=3, metric="pass_at_k"), BINARY, 4)
    torch.testing.assert_close(got, gradient(best_of(3), BINARY, 4), atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("k", [2, 4])
def test_a_constant_added_to_all_rewards_changes_nothing(k):
    rewards = torch.tensor([0.0, 0.2, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(
        advantages_of(RSPO(k=k), rewards - 7), advantages_of(RSPO(k=k), rewards), atol=1e-14, rtol=0
    )


def test_pass_at_k_is_for_binary_rewards():
    with pytest.raises(
        UserError, match=r"objective rspo \(metric=pass_at_k\) .*got 0\.5;.*objective=RSPO\(metric=.max_at_k"
    ):
        advantages_of(RSPO(k=2, metric="pass_at_k"), [1.0, 0.5, 0.0])
    assert advantages_of(RSPO(k=2), [1.0, 0.5, 0.0]).isfinite().all()


def test_a_k_too_large_is_refused():
    with pytest.raises(FieldError, match=r"k=5 is too large for rspo .*N = 4 .*at most N; try k=4,"):
        advantages_of(RSPO(k=5), [1.0, 0.0, 0.0, 0.0])


def test_an_unknown_metric_is_refused(unchecked):
    with pytest.raises(FieldError, match="metric=max is unknown; choose one of max_at_k, pass_at_k"):
        RSPO(metric="max")  # pyright: ignore[reportArgumentType]


def test_a_k_below_1_is_refused():
    with pytest.raises(FieldError, match="k=0 must be at least 1; try k=1"):
        RSPO(k=0)

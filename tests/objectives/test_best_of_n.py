"""Best-of-N: only a unique best completion teaches, and N makes it unbiased."""

import pytest
import torch

from rsgrpo.errors import UserError
from rsgrpo.objectives.best_of_n import BestOfN
from rsgrpo.objectives.pkpo import PKPO
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import REWARDS, best_of_group, expected_gradient, gradient, weight


def test_by_hand():
    # The best is 1, without it the best is 0.5, and nobody else changes the best.
    assert advantages_of(BestOfN(), [0.0, 0.2, 0.5, 1.0]).tolist() == [0, 0, 0, 4 * 0.5]
    assert advantages_of(BestOfN(), [-3.0, -1.0, -2.0]).tolist() == [0, 3.0, 0]
    assert advantages_of(BestOfN(), [1.0, 0.5, 1.0, 0.0]).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("correct", [1, 2, 15, 16])
def test_of_binary_rewards_only_a_lone_success_counts(correct):
    expected = [16.0] + [0.0] * 15 if correct == 1 else [0.0] * 16
    assert advantages_of(BestOfN(), binary_group(correct, 16))[0].tolist() == expected


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("kind", REWARDS)
def test_its_expected_gradient_is_that_of_the_best_of_n(kind, n):
    truth = gradient(best_of_group, REWARDS[kind], n)
    torch.testing.assert_close(expected_gradient(BestOfN(), REWARDS[kind], n), truth, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5])
def test_its_weight_for_binary_rewards(p):
    # d/dp (1 - (1-p)^N) = N (1-p)^(N-1).
    assert weight(BestOfN(), 16, p) == pytest.approx(16 * (1 - p) ** 15, rel=1e-10)


def test_it_is_pkpo_with_k_equal_to_n():
    rewards = torch.tensor([[0.3, -1.0, 0.9, 0.2, 0.9], [4.0, 0.0, 1.0, 2.0, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(
        advantages_of(BestOfN(), rewards), advantages_of(PKPO(k=5), rewards), atol=1e-13, rtol=1e-13
    )


def test_a_group_of_one_is_refused():
    with pytest.raises(UserError, match=r"objective best_of_n .*completions_per_prompt=1 .*objective=Reinforce\(\)"):
        advantages_of(BestOfN(), [1.0])

"""RLOO: leave-one-out baseline, unbiased and centred."""

import pytest
import torch

from rsgrpo.errors import UserError
from rsgrpo.objectives.reinforce import Reinforce
from rsgrpo.objectives.rloo import RLOO
from tests.objectives.cases import advantages_of
from tests.objectives.enumeration import REWARDS, expected_gradient, gradient, mean_reward, moments


def test_by_hand():
    # Others of 1 are (0.5, 0, 0.5), mean 1/3; of 0.5: (1, 0, 0.5), mean 1/2; of 0: (1, 0.5, 0.5), mean 2/3.
    expected = [1 - 1 / 3, 0, -2 / 3, 0]
    assert advantages_of(RLOO(), [1.0, 0.5, 0.0, 0.5]).tolist() == pytest.approx(expected, abs=1e-13)


def test_it_is_the_definition():
    rewards = torch.tensor([-3.0, 2.0, 7.0, 0.5, 0.1], dtype=torch.float64)
    expected = [(r - (rewards.sum() - r) / 4).item() for r in rewards]
    assert advantages_of(RLOO(), rewards).tolist() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("kind", REWARDS)
def test_its_expected_gradient_is_that_of_the_mean_reward(kind, n):
    truth = gradient(mean_reward, REWARDS[kind], n)
    torch.testing.assert_close(expected_gradient(RLOO(), REWARDS[kind], n), truth, atol=1e-15, rtol=1e-10)


@pytest.mark.parametrize("p", [0.25, 0.5])
def test_the_baseline_removes_variance(p):
    # Not everywhere: where p is near 1 the correct action has a small score, and no baseline would be best.
    with_baseline, without = moments(RLOO(), 16, p), moments(Reinforce(), 16, p)
    assert with_baseline[0] == pytest.approx(without[0], rel=1e-12)
    assert with_baseline[1] < 0.9 * without[1]


def test_a_constant_added_to_all_rewards_changes_nothing():
    rewards = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(advantages_of(RLOO(), rewards + 8), advantages_of(RLOO(), rewards), atol=1e-14, rtol=0)


def test_a_group_of_one_is_refused():
    with pytest.raises(UserError, match=r"objective rloo .*completions_per_prompt=1 .*objective=Reinforce\(\)"):
        advantages_of(RLOO(), [1.0])

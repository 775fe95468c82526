"""REINFORCE: the reward, unbiased."""

import torch

from rsgrpo.objectives.reinforce import Reinforce
from tests.objectives.cases import advantages_of
from tests.objectives.enumeration import REWARDS, expected_gradient, gradient, mean_reward, moments


def test_the_advantage_is_the_reward():
    assert advantages_of(Reinforce(), [0.25, -3.0, 1.0, 0.0]).tolist() == [0.25, -3.0, 1.0, 0.0]


def test_a_group_of_one_is_enough():
    assert advantages_of(Reinforce(), [0.5]).tolist() == [0.5]


def test_its_expected_gradient_is_that_of_the_mean_reward():
    for rewards in REWARDS.values():
        truth = gradient(mean_reward, rewards, 4)
        torch.testing.assert_close(expected_gradient(Reinforce(), rewards, 4), truth, atol=1e-15, rtol=1e-10)


def test_its_standard_deviation_by_hand():
    # One completion: g = 1 - p with chance p, else 0, so the variance is p (1-p)^2 - (p (1-p))^2 = p (1-p)^3.
    mean, deviation = moments(Reinforce(), 1, 0.2)
    torch.testing.assert_close((mean, deviation**2), (0.2 * 0.8, 0.2 * 0.8**3))

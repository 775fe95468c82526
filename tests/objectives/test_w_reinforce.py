"""Weighted REINFORCE with its ends PSR and NSR: one expected gradient, three advantages."""

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.w_reinforce import WReinforce
from tests.objectives.cases import advantages_of, composed
from tests.objectives.enumeration import BINARY, expected_gradient, gradient, mean_reward, moments, times


@pytest.mark.parametrize(
    ("case", "right", "wrong"), [("w_reinforce", 0.1, -1.0), ("psr", 1.0, 0.0), ("nsr", 0.0, -1.0)]
)
def test_advantages_of_right_and_wrong(case, right, wrong):
    assert advantages_of(composed(case), [1.0, 0.0, 0.0, 1.0]).tolist() == [right, wrong, wrong, right]
    assert advantages_of(composed(case), [1.0]).tolist() == [right]  # nobody else is needed


@pytest.mark.parametrize(("case", "factor"), [("w_reinforce", 1.1), ("psr", 1.0), ("nsr", 1.0)])
@pytest.mark.parametrize("n", [1, 4])
def test_the_expected_gradient_is_that_of_the_mean_reward_times_both_weights(case, factor, n):
    truth = gradient(times(factor, mean_reward), BINARY, n)
    torch.testing.assert_close(expected_gradient(composed(case), BINARY, n), truth, atol=1e-15, rtol=1e-10)


def test_what_differs_is_the_variance():
    # At p = 0.1 the rare correct ones carry the large score: PSR is noisy, NSR is not.
    mean, psr = moments(composed("psr"), 16, 0.1)
    same, nsr = moments(composed("nsr"), 16, 0.1)
    assert mean == pytest.approx(same, rel=1e-12)
    assert psr > 5 * nsr


@pytest.mark.parametrize("wrong", [0.5, 2.0, -1.0])
def test_other_rewards_than_0_and_1_are_refused(wrong):
    with pytest.raises(UserError, match=rf"objective w_reinforce .*0 and 1 only and got {wrong:g};.*=Reinforce\(\)"):
        advantages_of(WReinforce(), [1.0, wrong, 0.0])


@pytest.mark.parametrize("fields", [{"positive": -0.1}, {"negative": -1.0}])
def test_negative_weights_are_refused(fields):
    with pytest.raises(FieldError, match=f"{next(iter(fields))}=.* must be at least 0"):
        WReinforce(**fields)

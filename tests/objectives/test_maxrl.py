"""MaxRL: the mean as scale, and the truncated likelihood that it ascends."""

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.maxrl import MaxRL
from rsgrpo.objectives.rs_grpo import RSGRPO
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import (
    BINARY,
    CONTINUOUS,
    best_of,
    cosine,
    expected_gradient,
    gradient,
    mean_reward,
    truncated_likelihood,
    weight,
)


def test_by_hand():
    # The mean of (1, 0.5, 0, 0.5) is 0.5; of (4, 0, 0, 0) it is 1.
    assert advantages_of(MaxRL(), [1.0, 0.5, 0.0, 0.5]).tolist() == [1.0, 0.0, -1.0, 0.0]
    assert advantages_of(MaxRL(), [4.0, 0.0, 0.0, 0.0]).tolist() == [3.0, -1.0, -1.0, -1.0]
    assert advantages_of(MaxRL(eps=1.0), [4.0, 0.0, 0.0, 0.0]).tolist() == [1.5, -0.5, -0.5, -0.5]


def test_a_group_without_any_reward_has_no_advantage():
    assert advantages_of(MaxRL(), [0.0] * 5).tolist() == [0.0] * 5


@pytest.mark.parametrize("n", [2, 3, 4])
def test_its_expected_gradient_is_that_of_the_truncated_likelihood(n):
    truth = gradient(truncated_likelihood, BINARY, n)
    torch.testing.assert_close(expected_gradient(MaxRL(), BINARY, n), truth, atol=1e-14, rtol=1e-10)


def test_without_its_centre_there_would_be_one_term_more():
    # r / mean r, 0 for a group without success, goes up to k = N: the centre costs the last term.
    def uncentred(r):
        return r / r.mean(dim=1, keepdim=True).clamp(min=1e-9)

    truth = gradient(lambda pi, r, n: truncated_likelihood(pi, r, n) + best_of(n)(pi, r, n) / n, BINARY, 4)
    torch.testing.assert_close(expected_gradient(uncentred, BINARY, 4), truth, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("n", [4, 16])
@pytest.mark.parametrize("p", [0.01, 0.25, 0.9])
def test_its_weight_of_a_prompt(n, p):
    # The derivative of sum_(k<N) (1 - (1-p)^k)/k is sum_(k<N) (1-p)^(k-1) = (1 - (1-p)^(N-1)) / p.
    assert weight(MaxRL(), n, p) == pytest.approx((1 - (1 - p) ** (n - 1)) / p, rel=1e-10)


@pytest.mark.parametrize("correct", [1, 5, 15])
def test_it_is_rs_grpo_times_a_large_beta(correct):
    rewards = binary_group(correct, 16)
    torch.testing.assert_close(
        200 * advantages_of(RSGRPO(beta=200.0), rewards), advantages_of(MaxRL(), rewards), atol=1e-12, rtol=0
    )


def test_a_constant_added_to_all_rewards_changes_it_but_a_factor_does_not():
    rewards = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    a = advantages_of(MaxRL(), rewards)
    assert (advantages_of(MaxRL(), rewards + 1) - a).abs().max().item() > 0.5
    torch.testing.assert_close(advantages_of(MaxRL(), 64 * rewards), a, atol=1e-13, rtol=0)


def test_for_continuous_rewards_its_direction_is_not_that_of_the_mean_reward():
    # The claim is for rewards of 0 and 1 only.
    got = expected_gradient(MaxRL(), CONTINUOUS, 4)
    assert cosine(got, gradient(mean_reward, CONTINUOUS, 4)) < 1 - 1e-4


def test_its_claim_tends_to_the_log_likelihood():
    # sum_k (1 - q^k)/k = sum_k 1/k + log p for N -> inf: differences between two p are those of log p.
    objective = MaxRL()
    rewards = torch.tensor([0.0, 1.0], dtype=torch.float64)
    values = [objective.claim(torch.tensor([1 - p, p], dtype=torch.float64), rewards, 400) for p in (0.2, 0.6)]
    assert (values[1] - values[0]).item() == pytest.approx(torch.tensor(3.0).log().item(), abs=1e-6)


def test_negative_rewards_are_refused():
    with pytest.raises(UserError, match=r"objective maxrl .*not negative and got -0\.5;.*objective=RSGRPO\(\)"):
        advantages_of(MaxRL(), [1.0, -0.5])


def test_a_group_of_one_is_refused():
    with pytest.raises(UserError, match=r"objective maxrl .*completions_per_prompt=1"):
        advantages_of(MaxRL(), [1.0])


def test_a_negative_eps_is_refused():
    with pytest.raises(FieldError, match=r"eps=-1\.0 must be at least 0; try eps=0"):
        MaxRL(eps=-1.0)

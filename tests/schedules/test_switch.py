"""The objective for a while, then the mean reward."""

import pytest
import torch

from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.entropic import Entropic
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.schedules.switch import Switch
from rsgrpo.types import FieldError, UserError
from tests.schedules.cases import REWARDS, context, risk_sensitive_by_definition, scheduled, values

CONTINUOUS = torch.tensor([[0.0, 0.2, 0.5, 1.0], [0.9, 0.1, 0.1, 0.3]], dtype=torch.float64)


def test_beta_is_the_objectives_for_the_hold_and_then_zero() -> None:
    assert values(Switch(hold=3), RSGRPO(beta=4.0), "beta", 6) == [4.0, 4.0, 4.0, 0.0, 0.0, 0.0]


def test_k_is_the_objectives_for_the_hold_and_then_one() -> None:
    assert values(Switch(hold=2), MaxPO(k=8), "k", 4) == [8.0, 8.0, 1.0, 1.0]


def test_without_a_hold_it_is_the_mean_reward_from_the_start() -> None:
    assert values(Switch(hold=0), RSGRPO(beta=4.0), "beta", 2) == [0.0, 0.0]


def test_risk_averse_objectives_switch_too() -> None:
    assert values(Switch(hold=1), RSGRPO(beta=-4.0), "beta", 2) == [-4.0, 0.0]


@pytest.mark.parametrize("rewards", [REWARDS, CONTINUOUS, CONTINUOUS.float()])
def test_after_the_switch_rs_grpo_is_exactly_the_mean_baseline(rewards: torch.Tensor) -> None:
    prompts = [f"p{i}" for i in range(len(rewards))]
    schedule, objective = Switch(hold=2), RSGRPO(beta=4.0)
    before, _ = scheduled(schedule, objective, 2, rewards, prompts)
    after, _ = scheduled(schedule, objective, 3, rewards, prompts)
    torch.testing.assert_close(before, risk_sensitive_by_definition(rewards, 4.0), atol=1e-6, rtol=1e-6)
    assert after.equal(rewards - rewards.mean(dim=1, keepdim=True))
    assert after.equal(GRPO().advantages(rewards, context(3, prompts, rewards.shape[1])))


@pytest.mark.parametrize("objective", [MaxPO(k=3), RSGRPO(beta=4.0, estimator="loo"), RSGRPO(estimator="vimco")])
@pytest.mark.parametrize("rewards", [REWARDS, CONTINUOUS])
def test_after_the_switch_unbiased_objectives_are_rloo(objective: Objective, rewards: torch.Tensor) -> None:
    # max@1, and (1/beta) log E[exp(beta r)] at beta = 0, are the mean: each completion minus the mean of the others.
    prompts = [f"p{i}" for i in range(len(rewards))]
    n = rewards.shape[1]
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (n - 1)
    after, _ = scheduled(Switch(hold=2), objective, 3, rewards, prompts)
    torch.testing.assert_close(after, rewards - others, atol=1e-15, rtol=1e-13)
    torch.testing.assert_close(after, RLOO().advantages(rewards, context(3, prompts, n)), atol=1e-15, rtol=1e-13)


def test_after_the_switch_mahdavi_is_the_mean_baseline() -> None:
    # k (1 - c/N)^(k-1) is 1 at k = 1.
    after, _ = scheduled(Switch(hold=0), Mahdavi(k=4))
    torch.testing.assert_close(after, REWARDS - REWARDS.mean(dim=1, keepdim=True), atol=1e-15, rtol=1e-13)


def test_an_objective_that_is_a_constant_at_beta_zero_is_refused_before_the_run() -> None:
    with pytest.raises(UserError, match=r"objective\.beta=0.* a constant; use objective=rs_grpo"):
        Switch(hold=2).check(Entropic(beta=2.0), completions=16)


def test_a_negative_hold_is_refused() -> None:
    with pytest.raises(FieldError, match="hold=-1 must be at least 0; try hold=0"):
        Switch(hold=-1)

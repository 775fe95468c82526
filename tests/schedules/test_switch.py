"""The objective for a while, then the mean reward."""

import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.entropic import Entropic
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.rspo import RSPO
from rsgrpo.schedules.switch import Switch
from tests.schedules.cases import REWARDS, context, scheduled, values

CONTINUOUS = torch.tensor([[0.0, 0.2, 0.5, 1.0], [0.9, 0.1, 0.1, 0.3]], dtype=torch.float64)


def test_beta_is_the_objectives_for_the_hold_and_then_zero() -> None:
    assert values(Switch(hold=3), RSGRPO(beta=4.0), "beta", 6) == [4.0, 4.0, 4.0, 0.0, 0.0, 0.0]


def test_k_is_the_objectives_for_the_hold_and_then_one() -> None:
    assert values(Switch(hold=2), MaxPO(k=8), "k", 4) == [8.0, 8.0, 1.0, 1.0]


def test_without_a_hold_it_is_the_mean_reward_from_the_start() -> None:
    assert values(Switch(hold=0), RSGRPO(beta=4.0), "beta", 2) == [0.0, 0.0]


def test_risk_averse_objectives_switch_too() -> None:
    assert values(Switch(hold=1), RSGRPO(beta=-4.0), "beta", 2) == [-4.0, 0.0]


@pytest.mark.parametrize(
    "objective",
    [
        RSGRPO(beta=4.0),
        RSGRPO(beta=4.0, estimator="loo"),
        RSGRPO(estimator="vimco"),
        Entropic(beta=2.0),
        MaxPO(k=3),
        PKPO(k=3),
        PKPO(k=3, estimator="s"),
        RSPO(k=3),
        Chen(k=3),
    ],
)
@pytest.mark.parametrize("rewards", [REWARDS, CONTINUOUS, CONTINUOUS.float()])
def test_after_the_switch_every_objective_is_the_mean_baseline(objective: Objective, rewards: torch.Tensor) -> None:
    # The mean reward with a baseline: no REINFORCE, no standard deviation.
    prompts = [f"p{i}" for i in range(len(rewards))]
    schedule = Switch(hold=2)
    schedule.check(objective, completions=rewards.shape[1])
    before, _ = scheduled(schedule, objective, 2, rewards, prompts)
    assert before.equal(objective.advantages(rewards, context(2, prompts, rewards.shape[1])))
    after, _ = scheduled(schedule, objective, 3, rewards, prompts)
    torch.testing.assert_close(after, rewards - rewards.mean(dim=1, keepdim=True))
    assert after.equal(GRPO().advantages(rewards, context(3, prompts, rewards.shape[1])))


def test_mahdavi_switches_too() -> None:
    after, _ = scheduled(Switch(hold=0), Mahdavi(k=4))
    torch.testing.assert_close(after, REWARDS - REWARDS.mean(dim=1, keepdim=True), atol=1e-15, rtol=1e-13)


def test_a_negative_hold_is_refused() -> None:
    with pytest.raises(FieldError, match="hold=-1 must be at least 0; try hold=0"):
        Switch(hold=-1)

"""One value for the whole run."""

import pytest
import torch

from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.schedules.constant import Constant
from tests.schedules.cases import REWARDS, context, risk_sensitive_by_definition, scheduled, values


@pytest.mark.parametrize("beta", [2.0, -1.5, 0.0])
def test_beta_is_the_objectives_at_every_iteration(beta: float) -> None:
    assert values(Constant(), RSGRPO(beta=beta), "beta", 5) == [beta] * 5


def test_k_is_the_objectives_at_every_iteration() -> None:
    assert values(Constant(), PKPO(k=3), "k", 5) == [3.0] * 5


def test_advantages_are_the_objectives_own() -> None:
    advantages, _ = scheduled(Constant(), RSGRPO(beta=2.0))
    torch.testing.assert_close(advantages, risk_sensitive_by_definition(REWARDS, 2.0), atol=1e-14, rtol=1e-12)
    for objective in (RSGRPO(beta=2.0), MaxPO(k=5), GRPO()):
        assert scheduled(Constant(), objective)[0].equal(objective.advantages(REWARDS, context()))


def test_an_objective_without_beta_or_k_is_as_it_is() -> None:
    advantages, in_force = scheduled(Constant(), GRPO())
    assert advantages.equal(REWARDS - REWARDS.mean(dim=1, keepdim=True))
    assert in_force == {}
    Constant().check(GRPO(), completions=2)


def test_it_has_nothing_to_remember() -> None:
    schedule = Constant()
    schedule.observe(["a"], [1.0])
    assert schedule.state_dict() == {}

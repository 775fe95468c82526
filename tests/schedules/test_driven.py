"""Which number a schedule drives, and what it makes of it."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from rsgrpo.errors import UserError
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.w_reinforce import WReinforce
from rsgrpo.schedules.adaptive import Adaptive
from rsgrpo.schedules.base import Schedule
from rsgrpo.schedules.driven import driven
from rsgrpo.schedules.linear import Linear
from tests.schedules.cases import REWARDS, context


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted(Objective):
    """An objective with numbers of other names."""

    tau: float = 0.5
    draws: int = 4

    def advantages(self, rewards: Any, context: AdvantageContext) -> Any:
        return rewards * self.tau / self.draws


@pytest.mark.parametrize(
    ("objective", "field", "part", "name", "whole"),
    [
        (RSGRPO(), None, "objective", "beta", False),
        (RSGRPO(beta=4), None, "objective", "beta", False),  # a whole number in a field of numbers
        (MaxPO(), None, "objective", "k", True),
        (Counted(), "tau", "objective", "tau", False),
        (Counted(), "draws", "objective", "draws", True),
        (Counted(), "objective.tau", "objective", "tau", False),
        (Counted(), "clip_high", "loss", "clip_high", False),
        (Counted(), "loss.clip_low", "loss", "clip_low", False),
    ],
)
def test_the_number_is_found_where_it_is(objective: Any, field: str | None, part: str, name: str, whole: bool) -> None:
    found = driven(objective, ClipLoss(), field)
    assert found is not None
    assert (found.part, found.name, found.whole) == (part, name, whole)


def test_an_objective_without_beta_and_k_has_nothing_to_drive() -> None:
    assert driven(Counted(), ClipLoss()) is None


@pytest.mark.parametrize("field", ["gamma", "objective.clip_high", "loss.tau", "aggregation", "objective"])
def test_a_number_that_is_nowhere_is_answered_with_those_that_are(field: str) -> None:
    with pytest.raises(UserError, match=r"^field=.*choose one of objective\.tau, .*loss\.clip_high"):
        driven(Counted(), ClipLoss(), field)


def test_whole_numbers_are_rounded_and_others_are_not() -> None:
    halfway = context(2)
    assert Linear(field="draws", start=1.0, decay=2).in_force(Counted(), halfway).values == {"draws": 2.0}
    assert Linear(field="tau", start=1.0, decay=2).in_force(Counted(), halfway).values == {"tau": 0.75}


def test_a_number_of_the_loss_changes_the_loss_alone() -> None:
    schedule, loss, objective = Linear(field="loss.clip_high", start=1.28, decay=2), ClipLoss(), WReinforce()
    in_force = schedule.in_force(objective, context(2), loss)
    assert in_force.loss == ClipLoss(clip_high=(1.28 + 0.28) / 2)
    assert in_force.objective is objective
    assert in_force.values == {"clip_high": pytest.approx(0.78)}
    assert schedule.in_force(objective, context(9), loss).loss == loss


def test_prompts_cannot_have_losses_of_their_own() -> None:
    with pytest.raises(UserError, match=r"^field=clip_high is a number of the loss, .* use schedule=Linear\("):
        Adaptive(field="loss.clip_high").check(RSGRPO(), completions=16, loss=ClipLoss())


def test_an_end_that_the_loss_refuses_is_named_before_the_run() -> None:
    with pytest.raises(UserError, match=r"at one end of the schedule, clip_low=8"):
        Linear(field="loss.clip_low", start=8.0, decay=2).check(RSGRPO(), completions=16, loss=ClipLoss())


def test_each_prompt_may_have_any_number_of_the_objective() -> None:
    schedule = Adaptive(field="tau", hardest=2.0, source="group")
    given = AdvantageContext(
        iteration=1, prompt_ids=["a", "b", "c"], sampler_logprobs=REWARDS - 1, correct=REWARDS.bool()
    )
    in_force = schedule.in_force(Counted(), given)
    accuracies = REWARDS.mean(dim=1, keepdim=True)
    torch.testing.assert_close(
        in_force.advantages(REWARDS, given), REWARDS * (0.5 + 1.5 * (1 - accuracies)) / 4, atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("value", ["high", None, torch.zeros(2), torch.zeros(2, 1), True])
@pytest.mark.usefixtures("as_users_run_it")
def test_a_value_that_is_no_number_is_refused(value: Any) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mine(Schedule):
        def value(self, name: str, final: Any, context: AdvantageContext) -> Any:
            return value

        def extremes(self, name: str, final: float) -> list[float]:
            return [final]

    with pytest.raises(
        UserError, match=r"schedule: Mine\.value returned .*; return a number, or a tensor of shape \[3"
    ):
        Mine().in_force(RSGRPO(), context())

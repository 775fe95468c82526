"""The objective for a while, then the mean reward."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rsgrpo.errors import UserError
from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.schedules.base import Schedule
from rsgrpo.schedules.driven import Value

MEAN_REWARD = {"beta": 0.0, "k": 1.0}
"""What is logged after the switch: the value at which risk and max@k are the mean reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Schedule):
    """The objective for `hold` iterations, then the mean reward: the paper's Appendix A.

    From then on advantages are those of `grpo`, r_i - mean_j r_j, whatever the objective: RS-GRPO at beta = 0 is
    exactly that, while `chen` at k = 1 would be GRPO with standard deviation and `entropic` at beta = 0 nothing.

    Raises:
        FieldError: for a negative hold.
    """

    hold: int = 20
    """Iterations before the switch."""

    def __post_init__(self) -> None:
        check_fields(self, hold=(0, math.inf))

    def value(self, name: str, final: PromptFloat, context: AdvantageContext) -> PromptFloat:
        return final if context.iteration <= self.hold else MEAN_REWARD[name]

    def with_value(self, objective: Objective, name: str, value: Value) -> Objective:
        return GRPO()

    def extremes(self, name: str, final: float) -> Sequence[float]:
        if name not in MEAN_REWARD:
            raise UserError(
                f"Switch ends at the mean reward, and knows the value of {' and '.join(MEAN_REWARD)} there and none of "
                f'{name}; use schedule=Linear(field="{name}")'
            )
        return [final, MEAN_REWARD[name]]

"""The objective for a while, then the mean reward."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, PromptFloat
from rsgrpo.schedules.base import MEAN_REWARD, Schedule
from rsgrpo.types import check_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Schedule):
    """The objective's own value for `hold` iterations, then the mean reward, beta = 0 or k = 1: the paper's Appendix A.

    Raises:
        FieldError: for a negative hold.
    """

    hold: int = 20
    """Iterations before the switch."""

    def __post_init__(self) -> None:
        check_fields(self, hold=(0, math.inf))

    def value(
        self, name: str, final: PromptFloat, context: AdvantageContext, accuracies: Float[Tensor, " P"]
    ) -> PromptFloat:
        return final if context.iteration <= self.hold else MEAN_REWARD[name]

    def extremes(self, name: str, final: float) -> Sequence[float]:
        return [final, MEAN_REWARD[name]]

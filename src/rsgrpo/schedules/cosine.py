"""Hold a value, then go along half a cosine to the objective's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, PromptFloat
from rsgrpo.schedules.base import Schedule
from rsgrpo.schedules.linear import progress
from rsgrpo.types import check_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Schedule):
    """value(t) = final + (start - final) (1 + cos(pi progress(t))) / 2: the paper's Appendix A, without numbers there.

    Raises:
        FieldError: for a value outside its range.
    """

    start: float = 8.0
    """Value of the first `hold` iterations."""
    hold: int = 0
    """Iterations."""
    decay: int
    """Iterations from `start` to the objective's own value."""

    def __post_init__(self) -> None:
        check_fields(self, hold=(0, math.inf), decay=(1, math.inf))

    def value(
        self, name: str, final: PromptFloat, context: AdvantageContext, accuracies: Float[Tensor, " P"]
    ) -> PromptFloat:
        done = progress(context.iteration, self.hold, self.decay)
        return final + (self.start - final) * (1 + math.cos(math.pi * done)) / 2

    def extremes(self, name: str, final: float) -> Sequence[float]:
        return [self.start, final]

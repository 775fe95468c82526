"""Hold a value, then go in a straight line to the objective's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, PromptFloat
from rsgrpo.schedules.base import Schedule
from rsgrpo.types import check_fields


def progress(iteration: int, hold: int, decay: int) -> float:
    """How far a decay has come, 0 to 1, in the iteration counted from 1: ((iteration - 1) - hold) / decay, clipped.

    >>> [progress(iteration, hold=1, decay=4) for iteration in (1, 2, 3, 6, 9)]
    [0.0, 0.0, 0.25, 1.0, 1.0]
    """
    return min(1.0, max(0.0, (iteration - 1 - hold) / decay))


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Schedule):
    """value(t) = start + (final - start) progress(t): the paper's Appendix A, without numbers there.

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
        return self.start + (final - self.start) * progress(context.iteration, self.hold, self.decay)

    def extremes(self, name: str, final: float) -> Sequence[float]:
        return [self.start, final]

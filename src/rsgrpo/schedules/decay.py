"""What `linear` and `cosine` share: hold a value, then go to the objective's."""

import math
from abc import abstractmethod
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
class Decay(Schedule):
    """value(t) = final + (start - final) left(progress(t)): Appendix A of the paper, without numbers.

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

    @abstractmethod
    def left(self, done: float) -> float:
        """Share of the way that is still to go, from 1 at `done` = 0 to 0 at `done` = 1."""

    def value(
        self, name: str, final: PromptFloat, context: AdvantageContext, accuracies: Float[Tensor, " P"]
    ) -> PromptFloat:
        return final + (self.start - final) * self.left(progress(context.iteration, self.hold, self.decay))

    def extremes(self, name: str, final: float) -> Sequence[float]:
        return [self.start, final]

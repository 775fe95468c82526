"""What `linear` and `cosine` share: hold a value, then go to the objective's."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, PromptFloat
from rsgrpo.schedules.base import Schedule


def progress(iteration: int, hold: int, decay: int) -> float:
    """How far a decay has come, 0 to 1, in the iteration counted from 1: ((iteration - 1) - hold) / decay, clipped.

    >>> [progress(iteration, hold=1, decay=4) for iteration in (1, 2, 3, 6, 9)]
    [0.0, 0.0, 0.25, 1.0, 1.0]
    """
    return min(1.0, max(0.0, (iteration - 1 - hold) / decay))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay(Schedule):
    """value(t) = final + (start - final) left(progress(t)), t = 1, 2, ...: Appendix A of the paper, without numbers.

    Raises:
        FieldError: for a value outside its range, or a hold that leaves nothing of the run to decay in.
    """

    start: float = 8.0
    """Value of the first `hold` iterations."""
    hold: int = 0
    """Iterations."""
    decay: int | None = None
    """Iterations from `start` to the objective's own value. null: all that are left, so that the last iteration of the
    run is the first with that value."""
    iterations: int | None = None
    """Of the run: where a decay of null ends."""

    def __post_init__(self) -> None:
        check_fields(self, hold=(0, math.inf), decay=(1, math.inf), iterations=(1, math.inf))
        if self.decay is not None:
            return
        if self.iterations is None:
            raise FieldError("decay", None, "needs the iterations of the run", "set decay, or iterations")
        most = max(self.iterations - 2, 0)
        if self.hold > most:
            raise FieldError(
                "hold",
                self.hold,
                f"leaves none of the {self.iterations} iterations to decay in",
                f"try hold={most}, or set decay as well",
            )

    @property
    def steps(self) -> int:
        """Iterations from `start` to the objective's own value; a run of one iteration has the start alone."""
        return self.decay or max(1, (self.iterations or 1) - 1 - self.hold)

    @abstractmethod
    def left(self, done: float) -> float:
        """Share of the way that is still to go, from 1 at `done` = 0 to 0 at `done` = 1."""

    def value(self, name: str, final: PromptFloat, context: AdvantageContext) -> PromptFloat:
        return final + (self.start - final) * self.left(progress(context.iteration, self.hold, self.steps))

    def extremes(self, name: str, final: float) -> Sequence[float]:
        return [self.start, final]

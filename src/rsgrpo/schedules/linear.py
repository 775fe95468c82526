"""Hold a value, then go in a straight line to the objective's."""

from dataclasses import dataclass

from rsgrpo.schedules.decay import Decay


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Decay):
    """value(t) = final + (start - final) (1 - progress(t)), t = 1, 2, ...: Appendix A of the paper, without numbers."""

    def left(self, done: float) -> float:
        return 1 - done

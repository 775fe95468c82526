"""Hold a value, then go along half a cosine to the objective's."""

import math
from dataclasses import dataclass

from rsgrpo.schedules.decay import Decay


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Decay):
    """value(t) = final + (start - final) (1 + cos(pi progress(t))) / 2, t = 1, 2, ...: Appendix A of the paper, without
    numbers."""

    def left(self, done: float) -> float:
        return (1 + math.cos(math.pi * done)) / 2

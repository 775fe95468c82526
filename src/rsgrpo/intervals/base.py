"""An estimate with its interval."""

from dataclasses import dataclass
from typing import Literal

LEVEL = 0.95
"""Of every interval, unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval, and what it holds for."""

    estimate: float
    low: float
    """nan where there is no interval: `flag` says why."""
    high: float
    error: float
    """Standard error of the estimate."""
    p: float
    """Two-sided p-value of the estimate being 0; meant for differences."""
    units: int
    """How many independent units it rests on."""
    unit: Literal["problems", "samples", "pairs", "runs"]
    """What those are. `problems`: the problems are a sample, and the interval is for all problems of their kind.
    `samples`: it is for these very problems. `pairs`, `runs`: it is for other seeds and bases."""
    flag: str | None = None
    """Why the interval is unreliable; None when it is not."""

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside, and nothing is wrong with the interval."""
        return self.flag is None and (self.low > 0 or self.high < 0)

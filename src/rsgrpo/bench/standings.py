"""What a leaderboard is made of: the standings of each task, and of all tasks together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rsgrpo.intervals.base import LEVEL, Interval

BASE = "base"
"""The arm of the policies before training."""

Values = Mapping[tuple[str, int], float]
"""By (base, seed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One arm on one task under one score."""

    values: Values
    mean: Interval
    """Student's t over the runs."""
    error: float
    """What drawing samples alone adds to the deviation of a run's value."""
    difference: Interval | None
    """To the baseline, paired by base and seed; None for the baseline itself, and without a common pair."""
    adjusted: float = math.nan
    """p of the difference, Holm-corrected over the arms."""
    detectable: float = math.nan
    """The smallest difference that so many pairs show with a chance of 80 %, corrected alike."""

    def decided(self, level: float = LEVEL) -> bool:
        """Whether the difference is beyond noise."""
        return self.difference is not None and self.difference.flag is None and self.adjusted < 1 - level


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One arm on one task."""

    arm: str
    rate: float | None
    """Its learning rate; None for the base."""
    runs: int
    entries: Mapping[str, Entry]
    """By score."""
    ranks: tuple[int, int] | None
    """The first and the last rank that it may have in the first score: 1 + how many trained arms are better beyond
    noise, and all of them less those that are worse (Mogstad, Romano, Shaikh and Wilhelm, 2024). None for the base."""
    on_front: bool
    """Whether no other arm has a higher mean in both pass@1 and pass@k."""
    marks: Sequence[str] = ()
    """What its runs have otherwise than those of the baseline: another version, another processor."""

    @property
    def rank(self) -> str:
        """Its ranks in words: `1`, `2-5`, nothing for the base."""
        first, last = self.ranks or (0, 0)
        return "" if self.ranks is None else f"{first}" if first == last else f"{first}-{last}"

    @property
    def is_base(self) -> bool:
        """Whether it is the policies before training."""
        return self.rate is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The standings of one task."""

    task: str
    problems: int
    n: int
    standings: Sequence[Standing]
    """By the first score, best first."""
    undefined: Mapping[str, str] = field(default_factory=dict)
    """Arms that refuse the task's rewards, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """One arm over all tasks that it ran on: a description, with no claim about other tasks."""

    arm: str
    iqm: Mapping[str, float]
    """By score, the interquartile mean over tasks and runs of the normalised scores (`scores.normalised`)."""
    profile: Sequence[float]
    """The share of runs whose normalised AUC is above each of `Leaderboard.thresholds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """Everything that the bench shows."""

    baseline: str
    k: int
    level: float
    boards: Sequence[Board]
    overall: Sequence[Overall]
    """The arms that ran on every task, best first; empty with a single task."""
    thresholds: Sequence[float]

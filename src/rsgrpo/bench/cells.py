"""Which runs a bench consists of: tuning runs that choose a learning rate, and those that are reported."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields

Pair = tuple[int, int]
"""(seed of the base, seed of RL)"""

Kind = tuple[str, str, bool]
"""(task, arm, whether it tunes): the runs of a kind differ in base, seed and learning rate alone."""

EXAMPLE = "[[0,0],[0,1],[1,0],[1,1]]"


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """`bench`: what is run, and where it is kept.

    Raises:
        FieldError: for a value that is not of its type, pairs that are none, or a tuning pair that is reported too.
    """

    arms: Sequence[str]
    """Their names."""
    tasks: Sequence[str]
    """Their names."""
    pairs: Sequence[Sequence[int]]
    """(base, seed) of the runs that are reported, on the test split."""
    tuning: Sequence[Sequence[int]]
    """(base, seed) of the runs that choose a learning rate, on the validation split."""
    rates: Sequence[float]
    """The learning rates to choose from."""
    words: Sequence[str] = ()
    """What every run is given besides."""
    tuning_words: Sequence[str] = ()
    """What those that choose a learning rate are given besides."""
    reported_words: Sequence[str] = ()
    """What the others are given."""
    k: int = 32
    """The largest k of pass@k."""
    baseline: str = "grpo"
    """The arm that the others are compared with."""
    claim: str | None = None
    """An arm whose difference to the baseline has to be what the committed runs have shown (`reproduction.band`)."""
    claimed: str = "pass@32"
    """The score of the claim."""
    own: str | None = None
    """What the arm of the command line's own words is called; null: as its objective."""
    jobs: int | None = None
    """Runs at the same time; null: one for each core."""
    records: str | None = None
    """The folder in which finished runs are written down; null: `records` in the folder of the bench."""
    known: bool = True
    """Whether runs that come with rsgrpo (docs/results) count as finished."""
    ground: str = ""
    """A name under which records are kept apart from those of other benches, whose arms stand on other ground."""

    def __post_init__(self) -> None:
        check_fields(self, k=(2, 4096), jobs=(1, 4096))
        for name in ("pairs", "tuning"):
            pairs = [tuple(pair) for pair in getattr(self, name)]
            if not pairs or not all(len(pair) == 2 and min(pair) >= 0 for pair in pairs):
                raise FieldError(name, getattr(self, name), "must list (base, seed)", f"try {name}={EXAMPLE}")
            if len(set(pairs)) < len(pairs):
                raise FieldError(name, getattr(self, name), "names a pair twice", f"try {name}={EXAMPLE}")
        if common := sorted({tuple(pair) for pair in self.pairs} & {tuple(pair) for pair in self.tuning}):
            raise FieldError(
                "tuning", self.tuning, f"shares {list(common[0])} with pairs, whose rate it chooses", "try [[2,10]]"
            )
        if not self.rates or min(self.rates) <= 0 or not all(map(math.isfinite, self.rates)):
            raise FieldError("rates", self.rates, "must list learning rates", "try rates=[7e-5,2e-4,6e-4]")
        if re.fullmatch("[a-z0-9_]*", self.ground) is None:
            problem = "must be lower-case letters, digits and underscores, as the name of a folder"
            raise FieldError("ground", self.ground, problem, "try ground=mine")
        if self.k & (self.k - 1):
            raise FieldError("k", self.k, "must be a power of two", "try k=32")

    def words_of(self, cell: "Cell") -> list[str]:
        """The words of a run that are not its own."""
        return [*self.words, *(self.tuning_words if cell.tunes else self.reported_words)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """An objective with all that it comes with."""

    name: str
    words: Sequence[str]
    """What chooses it on a command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a bench."""

    arm: Arm
    task: str
    base: int
    seed: int
    rate: float
    tunes: bool
    """Whether it only chooses the learning rate."""

    @property
    def name(self) -> str:
        """Of its folder: `countdown_rs_grpo_4_base0_seed1_lr0.0003`."""
        return f"{self.task}_{self.arm.name}_base{self.base}_seed{self.seed}_lr{self.rate:g}"

    @property
    def kind(self) -> Kind:
        """What it shares with the other runs of its arm and task."""
        return self.task, self.arm.name, self.tunes


def tuning_cells(settings: BenchSettings, arms: Sequence[Arm]) -> list[Cell]:
    """The runs that choose learning rates, those of an arm and task together."""
    return [
        Cell(arm=arm, task=task, base=base, seed=seed, rate=float(rate), tunes=True)
        for task, arm, (base, seed), rate in product(settings.tasks, arms, settings.tuning, settings.rates)
    ]


def reported_cells(settings: BenchSettings, arm: Arm, task: str, rate: float) -> list[Cell]:
    """The runs of an arm and a task whose learning rate is known."""
    return [Cell(arm=arm, task=task, base=base, seed=seed, rate=rate, tunes=False) for base, seed in settings.pairs]

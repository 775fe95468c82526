"""Path star: which branch of a star leads to the goal? Generated, verifiable, with a tempting wrong answer.

Five branches of two edges leave the start, and the goal is the end of one of them. A prompt gives the start, the nodes
of each branch, in random order, and the goal: `4 : 27 87 ; 41 61 ; ... => 61 =`. A demonstration is a path in a box:
`\\boxed{ 4 41 61 }`. To take the right first step one has to look back from the goal; what tempts is the branch whose
first node has the largest label, wherever it leads.

The two nodes of a branch end in the same digit, and no two branches in the same one: with this help a model of three
layers learns to look back. The level is the rank of the goal's branch in the order of temptation: at level 0 the
tempting branch is the right one.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from rsgrpo.data.generated import NUM_PROBLEMS, SPLIT_SIZES, LevelledSource, boxed, cut
from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields, check_numbers
from rsgrpo.types import Problem

BRANCHES = 5
"""How many leave the start."""

STARTS, FIRST_TENS, LAST_TENS = range(1, 10), range(1, 5), range(5, 10)
"""Labels of the start, and the tens of those of the first and of the last node of a branch."""

_SPLIT_SEED = 20253
"""Fixes the problems and which is in which split: they are part of the task, not of a run."""


@cache
def problems() -> tuple[Problem, ...]:
    """The problems, in a fixed order, the same number of each level.

    `facts` hold the level, the start and the branches, the most tempting one first.
    """
    rng, found, known = random.Random(_SPLIT_SEED), list[Problem](), set[tuple[object, ...]]()
    while len(found) < NUM_PROBLEMS:
        start, digits, level = rng.choice(STARTS), rng.sample(range(10), BRANCHES), len(found) % BRANCHES
        branches = [(10 * rng.choice(FIRST_TENS) + digit, 10 * rng.choice(LAST_TENS) + digit) for digit in digits]
        branches.sort(reverse=True)
        goal = branches[level][-1]
        if (content := (start, *branches, goal)) in known:
            continue
        known.add(content)
        listed = " ; ".join(" ".join(map(str, branch)) for branch in rng.sample(branches, BRANCHES))
        found.append(
            Problem(
                id=f"path_star/{len(found)}",
                text=f"{start} : {listed} => {goal} =",
                answer=" ".join(map(str, (start, *branches[level]))),
                facts={"level": level, "start": start, "branches": tuple(branches)},
            )
        )
    return tuple(found)


@cache
def splits() -> dict[str, tuple[Problem, ...]]:
    """The four disjoint splits by name: `train`, `validation`, `test` and `pretrain`."""
    return cut(problems(), SPLIT_SIZES, seed=_SPLIT_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStar(LevelledSource):
    """The data source behind `data=path_star`."""

    num_levels: ClassVar[int] = BRANCHES
    levels: Sequence[int] = (0, 1, 2, 3, 4)

    def everything(self) -> Mapping[str, Sequence[Problem]]:
        return splits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """The pretraining corpus: paths that mostly follow a tempting branch to its end, wherever the goal is.

    A share of the demonstrations of each level goes wrong, along one of the other branches, drawn by temptation.
    """

    temptation: Sequence[float] = (1.0, 0.03, 0.015, 0.008, 0.004)
    """Weights of the branches in a wrong demonstration, by their rank: the largest first node first."""
    failure_rates: Sequence[float] = (0.4, 0.5, 0.8, 0.95, 0.99)
    """Share of wrong demonstrations at level 0 to 4."""
    max_tokens: int = 6
    """Room for a completion of the tiny policy, the end token included."""

    def __post_init__(self) -> None:
        check_numbers("temptation", self.temptation, BRANCHES, "[0, 1]", example=[1, 0.03, 0.015, 0.008, 0.004])
        check_numbers("failure_rates", self.failure_rates, BRANCHES, "[0, 1]", example=[0.4, 0.5, 0.8, 0.95, 0.99])
        check_fields(self, max_tokens=(1, math.inf))
        if sum(weight > 0 for weight in self.temptation) < 2:
            raise FieldError(
                "temptation", self.temptation, "must have two weights above 0", "try temptation=[1,1,0,0,0]"
            )

    def problems(self) -> Sequence[Problem]:
        """The pretraining split."""
        return splits()["pretrain"]

    def draw(self, problem: Problem, rng: random.Random) -> str:
        """One demonstration for `problem`: its text, without the end-of-sequence token."""
        chosen = level = problem.facts["level"]
        if rng.random() < self.failure_rates[level]:
            others = [rank for rank in range(BRANCHES) if rank != level]
            chosen = rng.choices(others, [self.temptation[rank] for rank in others])[0]
        return boxed([problem.facts["start"], *problem.facts["branches"][chosen]])

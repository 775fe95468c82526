"""Sums and products of numbers with a few digits, worked out column by column: an easy task that needs no download.

A prompt reads `4 7 + 8 5 =`, a demonstration `7 + 5 = 1 2 ; 4 + 8 + 1 = 1 3 ; \\boxed{ 1 3 2 }`: the columns from the
last digit on, each with the carry of the one before it. Products go the same way: `1 3 * 2 4 =` gives
`3 * 4 = 1 2 ; 1 * 4 + 3 * 2 + 1 = 1 1 ; 1 * 2 + 1 = 3 ; \\boxed{ 3 1 2 }`. Digits stand apart, so that each is a token.

The level is the kind: 0 sums of two digits, 1 sums of three, 2 products of two digits and one, 3 of two and two.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, product
from typing import ClassVar

from rsgrpo.data.generated import LevelledSource, cut
from rsgrpo.fields import check_fields
from rsgrpo.types import Problem

KINDS = (("+", 2, 2), ("+", 3, 3), ("*", 2, 1), ("*", 2, 2))
"""(operator, digits of the left number, digits of the right one) of each level."""

PROBLEMS_PER_LEVEL = 2000
"""At most; level 2 has only 720."""

SPLIT_SIZES = {"test": 256, "train": 512, "validation": 512}
"""Problems of each split; all others are the pretraining split."""

_SPLIT_SEED = 20252
"""Fixes the problems and which is in which split: they are part of the task, not of a run."""


def spelled(number: int) -> str:
    """The digits of a number, a space between them.

    >>> spelled(132)
    '1 3 2'
    """
    return " ".join(str(number))


def worked(left: int, operator: str, right: int, slips: Sequence[int] = ()) -> str:
    """The demonstration: every column with its total, then the box. `slips` are added to the totals, and carried on.

    >>> worked(47, "+", 85), worked(47, "+", 85, slips=[-1])
    ('7 + 5 = 1 2 ; 4 + 8 + 1 = 1 3 ; \\\\boxed{ 1 3 2 }', '7 + 5 = 1 1 ; 4 + 8 + 1 = 1 3 ; \\\\boxed{ 1 3 1 }')
    """
    a, b = ([int(digit) for digit in reversed(str(number))] for number in (left, right))
    steps, written, carry = [], 0, 0
    for column in range(num_columns(left, operator, right)):
        if operator == "+":
            terms = [(digits[column],) for digits in (a, b) if column < len(digits)]
        else:
            terms = [(a[i], b[column - i]) for i in reversed(range(len(a))) if 0 <= column - i < len(b)]
        slip = slips[column] if column < len(slips) else 0
        total = max(0, sum(math.prod(factors) for factors in terms) + carry + slip)
        words = [" * ".join(map(str, factors)) for factors in terms] + [spelled(carry)] * (column > 0)
        steps.append(f"{' + '.join(words)} = {spelled(total)}")
        written, carry = written + total % 10 * 10**column, total // 10
    answer = written + carry * 10 ** len(steps)
    return " ; ".join([*steps, f"\\boxed{{ {spelled(answer)} }}"])


def num_columns(left: int, operator: str, right: int) -> int:
    """How many columns the calculation has.

    >>> num_columns(47, "+", 85), num_columns(13, "*", 24)
    (2, 3)
    """
    sizes = len(str(left)), len(str(right))
    return max(sizes) if operator == "+" else sum(sizes) - 1


@cache
def problems() -> tuple[Problem, ...]:
    """The problems, in a fixed order; no two have the same two numbers in another order. `facts` hold the level."""
    found = []
    for level, (operator, *digits) in enumerate(KINDS):
        lefts, rights = (range(max(2, 10 ** (count - 1)), 10**count) for count in digits)
        pairs = list(combinations_with_replacement(lefts, 2) if lefts == rights else product(lefts, rights))
        rng = random.Random(_SPLIT_SEED + level)
        for pair in rng.sample(pairs, min(len(pairs), PROBLEMS_PER_LEVEL)):
            left, right = rng.sample(pair, 2) if lefts == rights else pair
            found.append(
                Problem(
                    id=f"arithmetic/{left}{operator}{right}",
                    text=f"{spelled(left)} {operator} {spelled(right)} =",
                    answer=str(left + right if operator == "+" else left * right),
                    facts={"level": level, "left": left, "operator": operator, "right": right},
                )
            )
    return tuple(found)


@cache
def splits() -> dict[str, tuple[Problem, ...]]:
    """The four disjoint splits by name: `train`, `validation`, `test` and `pretrain`."""
    return cut(problems(), SPLIT_SIZES, seed=_SPLIT_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic(LevelledSource):
    """The data source behind `data=arithmetic`."""

    num_levels: ClassVar[int] = len(KINDS)
    levels: Sequence[int] = (0, 1, 2, 3)

    def everything(self) -> Mapping[str, Sequence[Problem]]:
        return splits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """The pretraining corpus: every problem worked out, with slips: a prior that RL has something to do with."""

    slip_rate: float = 0.2
    """Share of columns whose total is off by one, up or down; the next column and the box go on from there."""
    max_tokens: int = 40
    """Room for a completion of the tiny policy, the end token included."""

    def __post_init__(self) -> None:
        check_fields(self, slip_rate=(0, 1), max_tokens=(1, math.inf))

    def problems(self) -> Sequence[Problem]:
        """The pretraining split."""
        return splits()["pretrain"]

    def draw(self, problem: Problem, rng: random.Random) -> str:
        """One demonstration for `problem`: its text, without the end-of-sequence token."""
        calculation = problem.facts["left"], problem.facts["operator"], problem.facts["right"]
        columns = range(num_columns(*calculation))
        return worked(*calculation, [rng.choice((-1, 1)) if rng.random() < self.slip_rate else 0 for _ in columns])

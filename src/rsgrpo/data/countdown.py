"""Countdown: reach a target from three or four numbers. Generated, verifiable, with a tunable prior; no download.

A problem gives numbers from 1..12 and a target from 1..60 that is not one of them; each number is used exactly once,
with + - * / and brackets, every intermediate result is a whole number in 0..150, and nothing is multiplied or divided
by 1 (the moves that change nothing). A prompt reads `6 12 9 => 27 :`, a demonstration `6 + 12 = 18 ; 18 + 9 = 27 ;
\\boxed{ ( 6 + 12 ) + 9 }`.

Enumeration finds every solvable problem: of all sets of three numbers, of a fixed sample of those of four. Its level
says what it takes: 0 for + and - alone, 1 for *, 2 for /.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, permutations
from typing import ClassVar, Literal, NamedTuple

from rsgrpo.data.generated import LevelledSource, cut
from rsgrpo.fields import check_fields, check_numbers
from rsgrpo.types import Problem

NUMBERS = range(1, 13)
TARGETS = range(1, 61)
INTERMEDIATES = range(151)
LEVEL_OF_OPERATOR = {"+": 0, "-": 0, "*": 1, "/": 2}

SPLIT_SIZES = {
    3: {"test": 255, "train": 510, "validation": 512},
    4: {"test": 256, "train": 512, "validation": 512},
}
"""Problems of each split, by how many numbers they give; all others are the pretraining split."""

SETS_OF_FOUR = 250
"""Of the 1,365 sets of four numbers, how many make problems: with all, pretraining would hold 640 MiB of attempts."""

_SPLIT_SEED = 20251
"""Fixes which problem is in which split: the splits are part of the task, not of a run."""

Step = tuple[int, str, int, int]
"""left, operator, right, result"""


class Solution(NamedTuple):
    """A calculation: a tuple, because there are hundreds of thousands."""

    value: int
    level: int
    steps: tuple[Step, ...]
    expression: str
    """The boxed answer."""

    def text(self) -> str:
        """The demonstration: every step, then the box."""
        steps = " ; ".join(f"{a} {op} {b} = {result}" for a, op, b, result in self.steps)
        return f"{steps} ; \\boxed{{ {self.expression} }}"


@cache
def calculate(left: int, operator: str, right: int) -> int | None:
    """`left operator right` when the puzzle allows the move, else None.

    >>> calculate(6, "/", 3), calculate(6, "/", 4), calculate(3, "-", 5), calculate(6, "*", 1)
    (2, None, None, None)
    """
    if (operator in "*/" and right == 1) or (operator == "*" and left == 1):
        return None
    if operator == "/":
        if right == 0 or left % right:
            return None
        result = left // right
    else:
        result = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return result if result in INTERMEDIATES else None


def attempts(numbers: Sequence[int]) -> Iterator[Solution]:
    """Every way to combine the numbers, each used once, whatever value comes out."""
    begun = []  # (terms still to combine, each a value and its expression; steps made)
    for a, b in sorted(set(permutations(numbers, 2))):
        rest = list(numbers)
        rest.remove(a)
        rest.remove(b)
        for op in LEVEL_OF_OPERATOR:
            if (result := calculate(a, op, b)) is not None:
                terms = [(result, f"( {a} {op} {b} )"), *((number, str(number)) for number in rest)]
                begun.append((terms, ((a, op, b, result),)))
    for _ in range(len(numbers) - 2):
        begun = [
            (
                [(result, f"( {left} {op} {right} )"), *(term for k, term in enumerate(terms) if k not in (i, j))],
                (*steps, (a, op, b, result)),
            )
            for terms, steps in begun
            for op in LEVEL_OF_OPERATOR
            for (i, (a, left)), (j, (b, right)) in permutations(enumerate(terms), 2)
            if (result := calculate(a, op, b)) is not None
        ]
    for [(value, expression)], steps in begun:
        level = max([LEVEL_OF_OPERATOR[operator] for _, operator, _, _ in steps])
        yield Solution(value, level, steps, expression[2:-2])  # without the outer brackets


@cache
def problems(count: int = 3) -> tuple[Problem, ...]:
    """All solvable problems of `count` numbers, in a fixed order; `facts` hold the numbers and the level."""
    found = []
    for numbers in _sets(count):
        level_of: dict[int, int] = {}
        for attempt in attempts(numbers):
            if attempt.value in TARGETS and attempt.value not in numbers:
                level_of[attempt.value] = min(attempt.level, level_of.get(attempt.value, 2))
        for target in sorted(level_of):
            shuffled = random.Random(f"{numbers}{target}").sample(numbers, count)
            found.append(
                Problem(
                    id=f"countdown/{'-'.join(map(str, numbers))}={target}",
                    text=f"{' '.join(map(str, shuffled))} => {target} :",
                    answer=str(target),
                    facts={"numbers": numbers, "level": level_of[target]},
                )
            )
    return tuple(found)


def _sets(count: int) -> list[tuple[int, ...]]:
    every = list(combinations_with_replacement(NUMBERS, count))
    return every if count == 3 else sorted(random.Random(_SPLIT_SEED).sample(every, SETS_OF_FOUR))


@cache
def splits(count: int = 3) -> dict[str, tuple[Problem, ...]]:
    """The four disjoint splits by name: `train`, `validation`, `test` and `pretrain`."""
    return cut(problems(count), SPLIT_SIZES[count], seed=_SPLIT_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown(LevelledSource):
    """The data source behind `data=countdown` and `data=countdown4`."""

    num_levels: ClassVar[int] = 3
    numbers: Literal[3, 4] = 3
    """How many numbers a problem gives."""
    levels: Sequence[int] = (0, 1, 2)

    def everything(self) -> Mapping[str, Sequence[Problem]]:
        return splits(self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """The pretraining corpus: a sharply peaked, imperfect prior on purpose.

    Solutions are drawn in proportion to the weights of their operators, and a share of the demonstrations of
    each level is a failed attempt: a correct calculation on the right numbers that misses the target. The corpus
    was made to have this shape; a base model trained on it favours + and - and rarely finds the rest.
    """

    numbers: Literal[3, 4] = 3
    """How many numbers a problem gives."""
    operator_weights: Sequence[float] = (0.5, 0.3, 0.15, 0.05)
    """For + - * /."""
    failure_rates: Sequence[float] = (0.3, 0.8, 0.9)
    """Share of failed attempts at level 0, 1, 2."""
    max_tokens: int = 24
    """Room for a completion of the tiny policy, the end token included."""

    def __post_init__(self) -> None:
        check_numbers("operator_weights", self.operator_weights, 4, "(0, 1]", example=[0.5, 0.3, 0.15, 0.05])
        check_numbers("failure_rates", self.failure_rates, 3, "[0, 1]", example=[0.3, 0.8, 0.9])
        check_fields(self, max_tokens=(1, math.inf))

    def problems(self) -> Sequence[Problem]:
        """The pretraining split."""
        return splits(self.numbers)["pretrain"]

    def draw(self, problem: Problem, rng: random.Random) -> str:
        """One demonstration for `problem`: its text, without the end-of-sequence token."""
        tried, weights = _weighted_attempts(tuple(problem.facts["numbers"]), tuple(self.operator_weights))
        target = int(problem.answer)
        solves = [attempt.value == target for attempt in tried]
        fails = rng.random() < self.failure_rates[problem.facts["level"]] and not all(solves)
        wanted = [i for i, solved in enumerate(solves) if solved is not fails]
        return tried[rng.choices(wanted, [weights[i] for i in wanted])[0]].text()


@cache
def _weighted_attempts(
    numbers: tuple[int, ...], operator_weights: tuple[float, ...]
) -> tuple[list[Solution], list[float]]:
    """Every attempt, and the product of the weights of its operators."""
    weight = dict(zip(LEVEL_OF_OPERATOR, operator_weights, strict=True))
    tried = list(attempts(numbers))
    return tried, [math.prod([weight[operator] for _, operator, _, _ in attempt.steps]) for attempt in tried]

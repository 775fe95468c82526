"""Countdown: reach a target from three numbers. Generated, verifiable, with a tunable prior; needs no download.

A problem gives three numbers from 1..12 and a target from 1..60 that is none of them; each number is used exactly
once, with + - * / and brackets, every intermediate result is a whole number in 0..150, and nothing is multiplied or
divided by 1 (the moves that change nothing). A prompt reads `6 12 9 => 27 :`, a demonstration
`6 + 12 = 18 ; 18 + 9 = 27 ; \\boxed{ ( 6 + 12 ) + 9 }`.

Enumeration finds every solvable problem. Its level says what it takes: 0 for + and - alone, 1 for *, 2 for /.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, permutations

from rsgrpo.types import FieldError, Problem, check_fields, check_numbers

NUMBERS = range(1, 13)
TARGETS = range(1, 61)
INTERMEDIATES = range(151)
LEVEL_OF_OPERATOR = {"+": 0, "-": 0, "*": 1, "/": 2}

SPLIT_SIZES = {"test": 255, "train": 510, "validation": 512}
"""Problems of each split; all others (2,213) are the pretraining split."""

_SPLIT_SEED = 20251
"""Fixes which problem is in which split: the splits are part of the task, not of a run."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Two steps: `first` and `second` are (left, operator, right, result); `expression` is the boxed answer."""

    first: tuple[int, str, int, int]
    second: tuple[int, str, int, int]
    expression: str

    @property
    def value(self) -> int:
        return self.second[3]

    @property
    def operators(self) -> tuple[str, str]:
        return self.first[1], self.second[1]

    @property
    def level(self) -> int:
        return max(LEVEL_OF_OPERATOR[op] for op in self.operators)

    def text(self) -> str:
        """The demonstration: both steps, then the box."""
        steps = " ; ".join(f"{a} {op} {b} = {result}" for a, op, b, result in (self.first, self.second))
        return f"{steps} ; \\boxed{{ {self.expression} }}"


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
    """Every way to combine three numbers, each used once, whatever value comes out."""
    for a, b, c in sorted(set(permutations(numbers))):
        for op1 in LEVEL_OF_OPERATOR:
            inner = calculate(a, op1, b)
            if inner is None:
                continue
            for op2 in LEVEL_OF_OPERATOR:
                left = calculate(inner, op2, c)
                if left is not None:
                    yield Solution((a, op1, b, inner), (inner, op2, c, left), f"( {a} {op1} {b} ) {op2} {c}")
                right = calculate(c, op2, inner)
                if right is not None:
                    yield Solution((a, op1, b, inner), (c, op2, inner, right), f"{c} {op2} ( {a} {op1} {b} )")


@cache
def problems() -> tuple[Problem, ...]:
    """All solvable problems, in a fixed order; `facts` hold the numbers, the target and the level."""
    found = []
    for numbers in combinations_with_replacement(NUMBERS, 3):
        level_of: dict[int, int] = {}
        for attempt in attempts(numbers):
            if attempt.value in TARGETS and attempt.value not in numbers:
                level_of[attempt.value] = min(attempt.level, level_of.get(attempt.value, 2))
        for target in sorted(level_of):
            shuffled = random.Random(f"{numbers}{target}").sample(numbers, 3)
            found.append(
                Problem(
                    id=f"countdown/{'-'.join(map(str, numbers))}={target}",
                    text=f"{' '.join(map(str, shuffled))} => {target} :",
                    answer=str(target),
                    facts={"numbers": numbers, "level": level_of[target]},
                )
            )
    return tuple(found)


@cache
def splits() -> dict[str, tuple[Problem, ...]]:
    """The four disjoint splits by name: `train`, `validation`, `test` and `pretrain`."""
    shuffled = list(problems())
    random.Random(_SPLIT_SEED).shuffle(shuffled)
    out, start = {}, 0
    for name, size in SPLIT_SIZES.items():
        out[name] = tuple(shuffled[start : start + size])
        start += size
    return out | {"pretrain": tuple(shuffled[start:])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown:
    """The data source behind `data=countdown`.

    Raises:
        FieldError: when `levels` names a difficulty that does not exist.
    """

    levels: Sequence[int] = (0, 1, 2)
    """Difficulties to keep in every split."""
    max_prompt_tokens: int | None = None
    """Prompts with more tokens are dropped."""

    def __post_init__(self) -> None:
        check_fields(self, max_prompt_tokens=(1, math.inf))
        levels = list(self.levels) if isinstance(self.levels, Sequence) else []
        if not levels or not all(level in (0, 1, 2) for level in levels):
            raise FieldError("levels", self.levels, "must list levels out of 0, 1, 2", "try levels=[0,1,2]")

    def split(self, name: str) -> list[Problem]:
        """The problems of `train`, `validation` or `test`."""
        return [problem for problem in splits()[name] if problem.facts["level"] in self.levels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """The pretraining corpus: a sharply peaked, imperfect prior on purpose.

    Solutions are drawn in proportion to the weights of their two operators, and a share of the demonstrations of
    each level is a failed attempt: a correct calculation on the right numbers that misses the target. The corpus
    was made to have this shape; a base model trained on it favours + and - and rarely finds the rest.
    """

    operator_weights: Sequence[float] = (0.5, 0.3, 0.15, 0.05)
    """For + - * /."""
    failure_rates: Sequence[float] = (0.3, 0.8, 0.9)
    """Share of failed attempts at level 0, 1, 2."""

    def __post_init__(self) -> None:
        check_numbers("operator_weights", self.operator_weights, 4, "(0, 1]", example=[0.5, 0.3, 0.15, 0.05])
        check_numbers("failure_rates", self.failure_rates, 3, "[0, 1]", example=[0.3, 0.8, 0.9])

    def draw(self, problem: Problem, rng: random.Random) -> str:
        """One demonstration for `problem`: its text, without the end-of-sequence token."""
        tried = _attempts_of(problem.facts["numbers"])
        solves = [attempt.value == int(problem.answer) for attempt in tried]
        fails = rng.random() < self.failure_rates[problem.facts["level"]] and not all(solves)
        pool = [attempt for attempt, solved in zip(tried, solves, strict=True) if solved is not fails]
        weight = dict(zip(LEVEL_OF_OPERATOR, self.operator_weights, strict=True))
        weights = [weight[a.operators[0]] * weight[a.operators[1]] for a in pool]
        return rng.choices(pool, weights)[0].text()


@cache
def _attempts_of(numbers: tuple[int, ...]) -> tuple[Solution, ...]:
    return tuple(attempts(numbers))

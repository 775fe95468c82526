"""Many answers: two to eight right answers of unequal prior mass, to see which are lost. Generated, verifiable.

A prompt lists ten numbers and asks for two of them by their last digits: `45 13 96 87 20 33 ... => 3 7 :` wants a
number that ends in 3 and one that ends in 7. A demonstration is a pair in a box: `\\boxed{ 13 87 }`; `\\boxed{ 33 87 }`
is as right, but the demonstrations prefer what is listed first. A wrong one takes early numbers whatever their digits.

The level says how many right answers a problem has: 0 for eight, 1 for six, 2 for three or four, 3 for two.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import ClassVar

from rsgrpo.data.generated import NUM_PROBLEMS, SPLIT_SIZES, LevelledSource, boxed, cut
from rsgrpo.fields import check_fields, check_numbers
from rsgrpo.types import Problem

NUMBERS = 10
"""How many numbers a problem lists, each of two digits, all different."""

KINDS = (((2, 4), (4, 2)), ((2, 3), (3, 2)), ((1, 3), (3, 1), (2, 2)), ((1, 2), (2, 1)))
"""Of each level, how many numbers may end in the first wanted digit, and how many in the second."""

_SPLIT_SEED = 20254
"""Fixes the problems and which is in which split: they are part of the task, not of a run."""


@cache
def problems() -> tuple[Problem, ...]:
    """The problems, in a fixed order, the same number of each level; no two have the same numbers and digits.

    `facts` hold the level, the numbers as they are listed, the wanted digits and how many answers are right.
    """
    rng, found, known = random.Random(_SPLIT_SEED), list[Problem](), set[tuple[object, ...]]()
    while len(found) < NUM_PROBLEMS:
        level, digits = len(found) % len(KINDS), tuple(rng.sample(range(10), 2))
        counts = rng.choice(KINDS[level])
        numbers = [
            10 * ten + digit
            for digit, count in zip(digits, counts, strict=True)
            for ten in rng.sample(range(1, 10), count)
        ]
        numbers += rng.sample([n for n in range(10, 100) if n % 10 not in digits], NUMBERS - len(numbers))
        rng.shuffle(numbers)
        if (content := (*sorted(numbers), *sorted(digits))) in known:
            continue
        known.add(content)
        right = right_answers(numbers, digits)
        found.append(
            Problem(
                id=f"many_answers/{len(found)}",
                text=f"{' '.join(map(str, numbers))} => {digits[0]} {digits[1]} :",
                answer=" ".join(map(str, right[0])),
                facts={"level": level, "numbers": tuple(numbers), "digits": digits, "num_answers": len(right)},
            )
        )
    return tuple(found)


def right_answers(numbers: Sequence[int], digits: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs that end in the wanted digits, those of early numbers first.

    >>> right_answers([45, 13, 87, 33], (3, 7))
    [(13, 87), (33, 87)]
    """
    first, second = ([number for number in numbers if number % 10 == digit] for digit in digits)
    return [(a, b) for a in first for b in second]


@cache
def splits() -> dict[str, tuple[Problem, ...]]:
    """The four disjoint splits by name: `train`, `validation`, `test` and `pretrain`."""
    return cut(problems(), SPLIT_SIZES, seed=_SPLIT_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyAnswers(LevelledSource):
    """The data source behind `data=many_answers`."""

    num_levels: ClassVar[int] = len(KINDS)
    levels: Sequence[int] = (0, 1, 2, 3)

    def everything(self) -> Mapping[str, Sequence[Problem]]:
        return splits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """The pretraining corpus: pairs of early numbers, of which a share of each level does not end in the wanted digits.

    A number has the weight r^i where it is the i-th of those that it is drawn from, counted from 0, and a pair the
    product of its two. A right demonstration draws from the numbers that end in the wanted digit, with
    r = `preference`; a wrong one from all numbers, with r = `temptation`, and is a pair that is not right.
    """

    preference: float = 0.5
    """Weight of a number beside that of the one before it, among those that are right."""
    temptation: float = 0.3
    """The same in a wrong demonstration, among all that are listed."""
    failure_rates: Sequence[float] = (0.4, 0.6, 0.85, 0.95)
    """Share of wrong demonstrations at level 0 to 3."""
    max_tokens: int = 5
    """Room for a completion of the tiny policy, the end token included."""

    def __post_init__(self) -> None:
        check_numbers("failure_rates", self.failure_rates, len(KINDS), "[0, 1]", example=[0.4, 0.6, 0.85, 0.95])
        check_fields(self, preference=(0.01, 1), temptation=(0.01, 1), max_tokens=(1, math.inf))

    def problems(self) -> Sequence[Problem]:
        """The pretraining split."""
        return splits()["pretrain"]

    def draw(self, problem: Problem, rng: random.Random) -> str:
        """One demonstration for `problem`: its text, without the end-of-sequence token."""
        numbers, digits = problem.facts["numbers"], problem.facts["digits"]
        first, second = ([number for number in numbers if number % 10 == digit] for digit in digits)
        if rng.random() >= self.failure_rates[problem.facts["level"]]:
            pair = [rng.choices(side, powers(self.preference, len(side)))[0] for side in (first, second)]
            return boxed(pair)
        while True:
            a, b = (numbers[place] for place in rng.choices(PLACES, weights_of_places(self.temptation))[0])
            if {a % 10, b % 10} != set(digits):
                return boxed([a, b])


PLACES = tuple(permutations(range(NUMBERS), 2))
"""Of the two numbers of a wrong demonstration."""


@cache
def powers(ratio: float, count: int) -> tuple[float, ...]:
    """ratio^0, ratio^1, ...: `count` of them.

    >>> powers(0.5, 3)
    (1.0, 0.5, 0.25)
    """
    return tuple(ratio**i for i in range(count))


@cache
def weights_of_places(ratio: float) -> tuple[float, ...]:
    """ratio^(i + j) for every pair of places i and j."""
    return tuple(ratio ** (i + j) for i, j in PLACES)

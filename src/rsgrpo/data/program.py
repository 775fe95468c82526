"""Program: which rules, one after the other, turn these letters into those? String rewriting, checked by tests.

The letters are the numbers from 0 to 20. A program is a list of rules such as `14 = 7`. One after the other, each
replaces every occurrence of its left side in a word by its right side, so `14 = 7 ; 7 = 14` leaves no 7. A prompt
says what three letters are to become, `14 => 7 ; 7 => 20 ; 8 => 14 :`, and a demonstration is a program in a box:
`\\boxed{ 7 = 20 ; 14 = 7 ; 8 = 14 }`. There are eight tests: the three letters, and five words of the letters of the
problem. A program is right when it passes them all; the share that it passes can be its reward.

The level says how hard the order is: at level 0 any will do, at level 1 one rule has to come before another, at level 2
only one order is right. At level 3 two letters change places, which takes a third, and 0 is always spare; at level 4
three do.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from rsgrpo.data.generated import NUM_PROBLEMS, SPLIT_SIZES, LevelledSource, boxed, cut
from rsgrpo.fields import check_fields, check_numbers
from rsgrpo.types import Problem
from rsgrpo.verification.rewriting import Rule, passed, written

LETTERS, SPARE = range(1, 21), 0
"""Of the problems, and one that is in none."""

SHAPES = (
    ((0, 3), (1, 4), (2, 5)),
    ((0, 1), (1, 3), (2, 4)),
    ((0, 1), (1, 2), (2, 3)),
    ((0, 1), (1, 0), (2, 3)),
    ((0, 1), (1, 2), (2, 0)),
)
"""Of each level, what becomes of its three letters: all that it has are counted from 0."""

WORDS, LENGTH = 5, 4
"""Tests that are words, and the letters of each."""

_SPLIT_SEED = 20256
"""Fixes the problems and which is in which split: they are part of the task, not of a run."""


def solution(wanted: Mapping[int, int]) -> list[Rule]:
    """A program that turns every letter into the wanted one; it takes the spare one where letters change places.

    >>> written(solution({1: 2, 2: 3})), written(solution({1: 2, 2: 1}))
    ('2 = 3 ; 1 = 2', '1 = 0 ; 2 = 1 ; 0 = 2')
    """
    left, program, last = dict(wanted), list[Rule](), list[Rule]()
    while left:
        free = next((letter for letter, becomes in left.items() if becomes not in left), None)
        if free is None:  # only circles are left
            first = next(iter(left))
            program.append(((first,), (SPARE,)))
            last.append(((SPARE,), (left.pop(first),)))
        else:
            program.append(((free,), (left.pop(free),)))
    return program + last


@cache
def problems() -> tuple[Problem, ...]:
    """The problems, in a fixed order, the same number of each level; no two ask for the same.

    `facts` hold the level, what each of the three letters is to become, and the tests: words and what they become.
    """
    rng, found, known = random.Random(_SPLIT_SEED), list[Problem](), set[tuple[tuple[int, int], ...]]()
    while len(found) < NUM_PROBLEMS:
        level = len(found) % len(SHAPES)
        name = rng.sample(LETTERS, 6)
        asked = [(name[letter], name[becomes]) for letter, becomes in SHAPES[level]]
        if (content := tuple(sorted(asked))) in known:
            continue
        known.add(content)
        rng.shuffle(asked)
        wanted, letters = dict(asked), sorted({letter for pair in asked for letter in pair})
        words = [(letter,) for letter in wanted] + [tuple(rng.choices(letters, k=LENGTH)) for _ in range(WORDS)]
        found.append(
            Problem(
                id=f"program/{len(found)}",
                text=f"{' ; '.join(f'{letter} => {becomes}' for letter, becomes in asked)} :",
                answer=written(solution(wanted)),
                facts={
                    "level": level,
                    "wanted": tuple(asked),
                    "tests": tuple((word, tuple(wanted.get(letter, letter) for letter in word)) for word in words),
                },
            )
        )
    return tuple(found)


@cache
def splits() -> dict[str, tuple[Problem, ...]]:
    """The four disjoint splits by name: `train`, `validation`, `test` and `pretrain`."""
    return cut(problems(), SPLIT_SIZES, seed=_SPLIT_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(LevelledSource):
    """The data source behind `data=program`."""

    num_levels: ClassVar[int] = len(SHAPES)
    levels: Sequence[int] = (0, 1, 2, 3, 4)

    def everything(self) -> Mapping[str, Sequence[Problem]]:
        return splits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """The pretraining corpus: right programs, and a share for each level of wrong ones, that take the tests as rules.

    A wrong one has a rule for each letter of the prompt, in random order; where that order is right, it lacks the last.
    """

    failure_rates: Sequence[float] = (0.3, 0.5, 0.7, 0.8, 1.0)
    """Share of wrong demonstrations at level 0 to 4."""
    max_tokens: int = 18
    """Room for a completion of the tiny policy, the end token included."""

    def __post_init__(self) -> None:
        check_numbers("failure_rates", self.failure_rates, len(SHAPES), "[0, 1]", example=[0.3, 0.5, 0.7, 0.8, 1])
        check_fields(self, max_tokens=(1, math.inf))

    def problems(self) -> Sequence[Problem]:
        """The pretraining split."""
        return splits()["pretrain"]

    def draw(self, problem: Problem, rng: random.Random) -> str:
        """One demonstration for `problem`: its text, without the end-of-sequence token."""
        wanted, tests = problem.facts["wanted"], problem.facts["tests"]
        asked = rng.sample(wanted, len(wanted))
        if rng.random() >= self.failure_rates[problem.facts["level"]]:
            return boxed([written(solution(dict(asked)))])
        program: list[Rule] = [((letter,), (becomes,)) for letter, becomes in asked]
        return boxed([written(program[:-1] if passed(program, tests) == len(tests) else program)])

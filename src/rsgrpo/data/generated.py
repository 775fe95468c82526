"""What the generated tasks share: the four splits, and a data source of some of their levels."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rsgrpo.errors import FieldError
from rsgrpo.fields import as_typed, check_fields
from rsgrpo.types import Problem

NUM_PROBLEMS = 10_000
"""Of a task that has more than it needs."""

SPLIT_SIZES = {"test": 256, "train": 512, "validation": 512}
"""Problems of each split of such a task; all others are the pretraining split."""


def check_levels(levels: object, count: int) -> None:
    """Refuse `levels` that are not a list of some of the levels 0, 1, ..., `count` - 1.

    Raises:
        FieldError: naming the levels that there are.
    """
    named = list(levels) if isinstance(levels, Sequence) else []
    if not named or not all(level in range(count) for level in named):
        known = list(range(count))
        out_of = f"must list levels out of {', '.join(map(str, known))}"
        raise FieldError("levels", levels, out_of, f"try levels={as_typed(known)}")
    if len(set(named)) < len(named):
        raise FieldError("levels", levels, "names a level twice", f"try levels={as_typed(sorted(set(named)))}")


def cut(problems: Sequence[Problem], sizes: Mapping[str, int], *, seed: int) -> dict[str, tuple[Problem, ...]]:
    """Disjoint splits of the shuffled problems, as many as `sizes` says for each name; the rest is `pretrain`."""
    shuffled = list(problems)
    random.Random(seed).shuffle(shuffled)
    out, start = {}, 0
    for name, size in sizes.items():
        out[name] = tuple(shuffled[start : start + size])
        start += size
    return out | {"pretrain": tuple(shuffled[start:])}


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelledSource(ABC):
    """A data source of the problems of some levels.

    Raises:
        FieldError: when `levels` names a difficulty that does not exist.
    """

    num_levels: ClassVar[int]
    levels: Sequence[int]
    """Difficulties to keep in every split."""
    max_prompt_tokens: int | None = None
    """Prompts with more tokens are dropped."""

    def __post_init__(self) -> None:
        check_levels(self.levels, self.num_levels)
        check_fields(self, max_prompt_tokens=(1, math.inf))

    @abstractmethod
    def everything(self) -> Mapping[str, Sequence[Problem]]:
        """The problems of all levels, by split."""

    def split(self, name: str) -> list[Problem]:
        """The problems of `train`, `validation` or `test`."""
        return [problem for problem in self.everything()[name] if problem.facts["level"] in self.levels]

    def removed(self, name: str) -> dict[str, int]:
        """Nothing is left out: every problem was made to be asked."""
        return {}


def boxed(content: Sequence[object]) -> str:
    """A demonstrated answer.

    >>> boxed([12, 3, 9])
    '\\\\boxed{ 12 3 9 }'
    """
    return f"\\boxed{{ {' '.join(map(str, content))} }}"

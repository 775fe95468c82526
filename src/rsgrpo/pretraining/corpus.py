"""What a base model is pretrained on: the demonstrations of a built-in task."""

import random
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rsgrpo.types import Problem


@runtime_checkable
class Corpus(Protocol):
    """Problems with demonstrations drawn for them; a dataclass, so that its settings tell one base model from another.

    `max_tokens` holds every demonstration with its end token, and is the room that the tiny policy has for an answer.
    """

    @property
    def max_tokens(self) -> int: ...

    def problems(self) -> Sequence[Problem]:
        """The pretraining split, which no other split shares a problem with."""
        ...

    def draw(self, problem: Problem, rng: random.Random) -> str:
        """One demonstration for `problem`, without the end token; random by `rng` alone."""
        ...

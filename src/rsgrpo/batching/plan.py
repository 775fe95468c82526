"""How much is sampled in one iteration, and how it is dealt into optimiser updates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields, example

Item = TypeVar("Item")

LARGEST_GROUP = 2**16
MOST_COMPLETIONS = 2**24
"""Completions of an iteration: they are held in memory side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """The sizes of one iteration.

    Raises:
        FieldError: for N = 1 (a group of one has no baseline), or updates that do not fit into the iteration.
    """

    prompts_per_iteration: int
    """P: prompts sampled per iteration."""
    completions_per_prompt: int = example(16)
    """N: completions in a group."""
    prompts_per_update: int
    """Prompts of one optimiser update (the mini-batch); equal to `prompts_per_iteration` is fully on-policy."""
    epochs: int = 1
    """Passes over the rollouts of an iteration."""
    row_tokens: int = 4096
    """Tokens of a packed row, the micro-batch: bounds memory, never the result."""
    max_refills: int = 0
    """How often an iteration samples other prompts for groups that the filter has dropped, until P are kept."""

    def __post_init__(self) -> None:
        at_least_one = ("prompts_per_iteration", "prompts_per_update", "epochs", "row_tokens")
        check_fields(self, **{name: (1, math.inf) for name in at_least_one}, max_refills=(0, 1000))
        self._check_completions()
        self._check_updates()

    def _check_completions(self) -> None:
        if self.completions_per_prompt < 2:
            raise FieldError(
                "completions_per_prompt",
                self.completions_per_prompt,
                "must be at least 2, for a baseline",
                "try completions_per_prompt=16",
            )
        check_fields(self, completions_per_prompt=(2, LARGEST_GROUP))
        completions = self.prompts_per_iteration * self.completions_per_prompt
        if completions > MOST_COMPLETIONS:
            most = MOST_COMPLETIONS // self.completions_per_prompt
            raise FieldError(
                "prompts_per_iteration",
                self.prompts_per_iteration,
                f"with {self.completions_per_prompt} completions each makes {completions:,} at once, more than the "
                f"{MOST_COMPLETIONS:,} that one iteration takes",
                f"try prompts_per_iteration={most}",
            )

    def _check_updates(self) -> None:
        if self.prompts_per_update > self.prompts_per_iteration:
            raise FieldError(
                "prompts_per_update",
                self.prompts_per_update,
                f"exceeds prompts_per_iteration={self.prompts_per_iteration}",
                f"try prompts_per_update={self.prompts_per_iteration}",
            )
        if self.prompts_per_iteration % self.prompts_per_update:
            raise FieldError(
                "prompts_per_update",
                self.prompts_per_update,
                f"does not divide prompts_per_iteration={self.prompts_per_iteration}",
                f"try prompts_per_update={math.gcd(self.prompts_per_iteration, self.prompts_per_update)}",
            )

    @property
    def completions_per_update(self) -> int:
        """Of an update from which no group was dropped."""
        return self.prompts_per_update * self.completions_per_prompt

    @property
    def updates_per_epoch(self) -> int:
        return self.prompts_per_iteration // self.prompts_per_update


def deal(items: Sequence[Item], hands: int) -> list[list[Item]]:
    """Split `items`, in order, into exactly `hands` lists whose sizes differ by at most one.

    The number of updates stays fixed however many groups the filter kept (Table 3: 512 / 32 = 16).

    >>> deal([1, 2, 3, 4, 5], 3), deal([1], 2)
    ([[1, 2], [3, 4], [5]], [[1], []])
    """
    size, larger = divmod(len(items), hands)
    bounds = [i * size + min(i, larger) for i in range(hands + 1)]
    return [list(items[a:b]) for a, b in pairwise(bounds)]

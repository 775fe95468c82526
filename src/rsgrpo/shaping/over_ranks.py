"""Statistics over the tokens of all ranks, the same to the last bit whichever rank has which tokens.

Each method is a collective: every rank has to call it, and as often as the others, with no tokens too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class OverRanks:
    """Sums, means and the largest of numbers of which each rank has some.

    >>> alone = OverRanks(gather=lambda mine: [mine])
    >>> alone.mean(torch.tensor([1.0, 2.0, 6.0]))
    3.0
    """

    gather: Callable[[Any], list[Any]]
    """A rank's value -> the values of all ranks."""

    def count(self, values: Tensor) -> int:
        """How many numbers all ranks have together."""
        return sum(self.gather(values.numel()))

    def total(self, values: Float[Tensor, " T"]) -> float:
        """The sum of all numbers, rounded once: no order of adding, and no way of dealing, changes it."""
        return _joined(self.gather(_exact(values)))

    def mean(self, values: Float[Tensor, " T"]) -> float:
        """Their mean; 0 where there are none."""
        return self.total(values) / max(1, self.count(values))

    def largest(
        self,
        values: Float[Tensor, " T"],
        number: int,
        *,
        ties: Float[Tensor, " T"],
        among: Bool[Tensor, " T"] | None = None,
    ) -> Bool[Tensor, " T"]:
        """Which of this rank's numbers are among the `number` largest of all ranks; all, where there are fewer.

        Each rank sends no more than its own `number` largest.

        Args:
            values: numbers of this rank.
            number: how many are wanted.
            ties: which of equal numbers count as larger; different for each token of all ranks, like
                `UpdateTokens.uniform`.
            among: where given, all others are left out.
        """
        values, ties = values.double(), ties.double()
        among = torch.ones_like(values, dtype=torch.bool) if among is None else among
        mine = _largest(values[among], ties[among], number)
        best = sorted(chain.from_iterable(self.gather(mine)), reverse=True)[:number]
        if not best:
            return torch.zeros_like(among)
        least, tie = best[-1]
        return among & ((values > least) | ((values == least) & (ties >= tie)))


def _largest(values: Float[Tensor, " T"], ties: Float[Tensor, " T"], number: int) -> list[tuple[float, float]]:
    """The `number` largest with what tells equal ones apart, largest first."""
    if number < len(values):
        enough = values >= values.topk(max(1, number)).values[-1]
        values, ties = values[enough], ties[enough]
    return sorted(zip(values.tolist(), ties.tolist(), strict=True), reverse=True)[:number]


def _exact(values: Float[Tensor, " T"]) -> tuple[float, float]:
    """A sum in two floats: what a float holds of it, and the rest."""
    numbers = values.double().tolist()
    near = math.fsum(numbers)
    return near, math.fsum([*numbers, -near])


def _joined(parts: list[tuple[float, float]]) -> float:
    return math.fsum(chain.from_iterable(parts))

"""Which prompts are visited next."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from rsgrpo.seeds import derive_seed
from rsgrpo.types import Outcome


class Order(ABC):
    """Base of all orders. A subclass is final, and its constructor is its configuration.

    Whatever the order, an iteration visits the same number of prompts: runs with different orders have spent the same.
    Every rank asks it, and has to get the same answer.
    """

    @abstractmethod
    def places(self, prompt_ids: Sequence[str], *, drawn: int, count: int, seed: int) -> Sequence[int]:
        """The places in the train set of the next `count` prompts.

        Args:
            prompt_ids: of the whole train set.
            drawn: how many prompts the run has visited before, each visit counted.
            count: how many are wanted.
            seed: of the run.
        """

    def observe(self, outcomes: Sequence[Outcome]) -> None:  # noqa: B027
        """Learn from the groups of an iteration, those included that a filter has dropped."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take up the state of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Uniform(Order):
    """One permutation of the train set per epoch, laid end to end: a function of the seed and of `drawn` alone.

    A batch that straddles two epochs may hold a prompt twice; each of its groups has a seed of its own.
    """

    def places(self, prompt_ids: Sequence[str], *, drawn: int, count: int, seed: int) -> list[int]:
        size = len(prompt_ids)
        turns = (divmod(position, size) for position in range(drawn, drawn + count))
        return [int(_permutation(seed, epoch, size)[place]) for epoch, place in turns]


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(size)

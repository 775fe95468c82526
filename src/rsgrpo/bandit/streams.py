"""Random numbers of the pulls: the official stream, or many seeds. Every value of beta sees the same ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields

UPDATES_AT_ONCE = 500
"""Random numbers are drawn for this many updates at a time."""


@runtime_checkable
class Stream(Protocol):
    """S independent sequences of random numbers."""

    @property
    def seeds(self) -> int: ...

    @property
    def seed(self) -> int: ...

    def uniforms(self, updates: int, batch: int, dtype: torch.dtype) -> Iterator[Float[Tensor, "S N"]]:
        """For each update, the numbers in [0, 1) that choose the arms."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialStream:
    """The released code's: numpy's legacy generator, seeded just before the pulls, one uniform per pull."""

    seed: int = 43

    def __post_init__(self) -> None:
        check_fields(self, seed=(0, 2**32 - 1))

    @property
    def seeds(self) -> int:
        return 1

    def uniforms(self, updates: int, batch: int, dtype: torch.dtype) -> Iterator[Float[Tensor, "S N"]]:
        generator = np.random.RandomState(self.seed)
        for _ in range(updates):
            yield torch.from_numpy(generator.random_sample((1, batch))).to(dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededStreams:
    """`seeds` independent streams, all from one `seed`."""

    seeds: int
    seed: int

    def __post_init__(self) -> None:
        check_fields(self, seeds=(1, 2**16), seed=(0, math.inf))

    def uniforms(self, updates: int, batch: int, dtype: torch.dtype) -> Iterator[Float[Tensor, "S N"]]:
        generator = torch.Generator().manual_seed(self.seed)
        for done in range(0, updates, UPDATES_AT_ONCE):
            size = (min(UPDATES_AT_ONCE, updates - done), self.seeds, batch)
            yield from torch.rand(size, generator=generator, dtype=dtype)

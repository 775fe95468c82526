"""What the ranks of a run tell one another. A run of one process needs no process group: it only hears itself."""

import os
import traceback
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist

from rsgrpo.types import UserError

T = TypeVar("T")


class OtherRankFailed(RuntimeError):
    """What another rank could not do, in its words."""


class OtherRankRefused(OtherRankFailed, UserError):
    """What another rank refused in one sentence for the user."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a rank gives the others instead of what they wait for."""

    words: str
    refused: bool


def count() -> int:
    """How many ranks train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def index() -> int:
    """Which of them this process is, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process is rank 0, as the environment says before the ranks have met.

    Lightning's launcher, torchrun and Slurm each number their processes in variables of their own.
    """
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def gather(value: T) -> list[T]:
    """The `value` of every rank, in the order of the ranks. All ranks have to call it; it is pickled.

    Raises:
        OtherRankFailed: when another rank called `fail`.
    """
    values = _gather(value)
    for rank, theirs in enumerate(values):
        if isinstance(theirs, _Failure):
            raise (OtherRankRefused if theirs.refused else OtherRankFailed)(f"rank {rank}: {theirs.words}")
    return values


def fail(error: Exception) -> None:
    """Tell the other ranks, where they next `gather`, that this one has failed: they fail there too."""
    words = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception_only(error)).strip()
    _gather(_Failure(words, isinstance(error, UserError)))


def _gather(value: Any) -> list[Any]:
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return values


def barrier() -> None:
    """Wait until every rank is here, or hear that one of them has failed."""
    gather(None)


def leave() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()

"""What the ranks of a run tell one another. A run of one process needs no process group: it only hears itself."""

import os
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


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
    """The `value` of every rank, in the order of the ranks. All ranks have to call it; it is pickled."""
    if count() == 1:
        return [value]
    values: list[T | None] = [None] * count()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def barrier() -> None:
    """Wait until every rank is here."""
    gather(None)


def leave() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()

"""Communication between the ranks of a run. A run of one process needs no process group."""

import atexit
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from rsgrpo.errors import UserError

T = TypeVar("T")


class OtherRankFailed(RuntimeError):
    """Another rank has failed, in its own words."""


class OtherRankRefused(UserError, OtherRankFailed):
    """Another rank has refused something, in one sentence for the user."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a rank sends the others in place of the value they wait for."""

    words: str
    fields: Mapping[str, str] | None
    """Of a `UserError`; None of any other exception."""


def count() -> int:
    """How many ranks train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def index() -> int:
    """Which of them this process is, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process is rank 0, as the environment says while the ranks have not met.

    Lightning's launcher, torchrun and Slurm each number their processes in variables of their own.
    """
    if dist.is_initialized():
        return index() == 0
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def gather(value: T) -> list[T]:
    """The `value` of every rank, in the order of the ranks. All ranks have to call it; it is pickled.

    Raises:
        OtherRankFailed: when another rank called `fail`.
    """
    values = _gather(value)
    for rank, theirs in enumerate(values):
        if isinstance(theirs, _Failure):
            words = f"rank {rank}: {theirs.words}"
            raise OtherRankFailed(words) if theirs.fields is None else OtherRankRefused(words, **theirs.fields)
    return values


def exchange(parts: Sequence[Shaped[Tensor, " _"]], sizes: Sequence[int]) -> list[Shaped[Tensor, " _"]]:
    """What each rank has for this one, in the order of the ranks. All ranks have to call it.

    Args:
        parts: what this one has for each rank, of one dtype, and where the backend works: with NCCL on the GPU.
        sizes: how many numbers each rank has for this one.
    """
    assert len(parts) == len(sizes) == count()
    if count() == 1:
        return list(parts)
    received = parts[0].new_empty(sum(sizes))
    dist.all_to_all_single(received, torch.cat(list(parts)), list(sizes), [len(part) for part in parts])
    return list(received.split(list(sizes)))


def fail(error: Exception) -> None:
    """Tell the other ranks, where they next `gather`, that this one has failed: they fail there too."""
    if isinstance(error, UserError):
        _gather(_Failure(str(error), error.fields))
    else:
        _gather(_Failure("".join(traceback.format_exception_only(error)).strip(), None))


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
    global _met
    if dist.is_initialized():
        _met = True
        dist.destroy_process_group()


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Leave with the exit code of `main`, as `sys.exit(main())` does.

    A process that has met other ranks then ends before Python takes itself apart. Gloo's threads live as long as the
    caches of DTensor, which outlive the group, and a thread that frees the tensors of the last collective after Python
    has ended aborts the process.
    """
    try:
        code: Any = main()
    except SystemExit as leaving:
        code = leaving.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        if not _has_met():
            raise
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    if _has_met():
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code)


_met = False
"""Whether this process has been in a process group that it left."""


def _has_met() -> bool:
    return _met or dist.is_initialized()

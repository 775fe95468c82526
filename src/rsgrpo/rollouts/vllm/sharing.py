"""Ranks that share an engine: each holds a part of every layer, and all of them sample in step."""

import math
import uuid
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from rsgrpo.errors import FieldError, UserError

T = TypeVar("T")


def check_heads(heads: int, tensor_parallel_size: int) -> None:
    """Refuse to cut a layer's attention heads.

    Raises:
        FieldError: when they cannot be dealt out evenly.
    """
    if heads % tensor_parallel_size:
        raise FieldError(
            "tensor_parallel_size",
            tensor_parallel_size,
            f"does not divide the policy's {heads} attention heads",
            f"try tensor_parallel_size={math.gcd(heads, tensor_parallel_size)}",
        )


def check_ranks(ranks: int, tensor_parallel_size: int) -> None:
    """Refuse ranks that cannot be dealt out to engines.

    Raises:
        UserError: when the number of ranks is not a multiple.
    """
    if ranks % tensor_parallel_size:
        raise UserError(
            f"tensor_parallel_size={tensor_parallel_size} does not divide the run's {ranks} "
            f"{'rank' if ranks == 1 else 'ranks'}; try tensor_parallel_size={math.gcd(ranks, tensor_parallel_size)}, "
            f"or strategy=FSDP2() devices={tensor_parallel_size}",
            tensor_parallel_size="engine",
            devices="trainer",
        )


def place(tensor_parallel_size: int) -> int:
    """Which of the ranks that share this engine this one is, counted from 0."""
    return _sharers().rank_in_group if tensor_parallel_size > 1 else 0


def shares(mine: T, tensor_parallel_size: int) -> list[T]:
    """What each rank that shares this engine brings, in the order of the ranks: a collective of them."""
    if tensor_parallel_size == 1:
        return [mine]
    everyones: list[Any] = [None] * tensor_parallel_size
    dist.all_gather_object(everyones, mine, group=_sharers().cpu_group)
    return everyones


def _sharers() -> Any:
    """vLLM's group of the ranks that share an engine."""
    from vllm.distributed.parallel_state import get_tp_group  # pyright: ignore[reportMissingImports]

    return get_tp_group()


def name_shared_memory() -> None:
    """On a CPU, ranks that share an engine communicate through shared memory, which vLLM names after the ranks alone.

    Two runs on one machine would share it, and what a killed run has left would stop the next one.
    """
    if torch.cuda.is_available():
        return
    from vllm.distributed.device_communicators import cpu_communicator  # pyright: ignore[reportMissingImports]

    run: list[Any] = [uuid.uuid4().hex]
    dist.broadcast_object_list(run)
    memory, name_of_group = cpu_communicator._CPUSHMDistributed, cpu_communicator._CPUSHMDistributed.make_group_name
    memory.make_group_name = staticmethod(lambda communicator: f"{name_of_group(communicator)}-{run[0]}")

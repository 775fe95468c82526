"""vLLM's own pools of GPU memory, which have to be empty before the next engine of a process can start."""

import gc
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor


class Regions(dict[int, Any]):
    """Of vLLM's allocator, by address: those of the present engine, and others that an earlier one has left.

    vLLM counts, maps and frees what it sees as items. What was left is only found when PyTorch gives it back.
    """

    def __init__(self, left: Mapping[int, Any]) -> None:
        super().__init__()
        self.left = dict(left)

    def pop(self, address: int, *default: Any) -> Any:
        """The region, which is then no longer kept."""
        is_left = address not in self and address in self.left
        return self.left.pop(address) if is_left else super().pop(address, *default)


def allocator_of_vllm() -> Any:
    """The only one of this process."""
    from vllm.device_allocator.cumem import CuMemAllocator  # pyright: ignore[reportMissingImports]

    return CuMemAllocator.get_instance()


def drop_tensors(allocator: Any) -> None:
    """Take the memory of every tensor in the pools: caches of vLLM's modules keep some beyond the engine's end."""
    regions = allocator.pointer_to_data
    drop_between({address: address + region.handle[1] for address, region in regions.items()})


def set_aside(allocator: Any) -> int:
    """Let the next engine begin with no region, whatever PyTorch still holds of the last one; the bytes of that."""
    regions = allocator.pointer_to_data
    allocator.pointer_to_data = Regions({**getattr(regions, "left", {}), **regions})
    return sum(region.handle[1] for region in regions.values())


def drop_between(ends: Mapping[int, int]) -> None:
    """Take the memory of every tensor that starts within one of the regions, given as {first address: end}."""
    starts = sorted(ends)
    for tensor in gc.get_objects():
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
            continue
        address = address_of(tensor)
        place = bisect_right(starts, address) - 1
        if address and place >= 0 and address < ends[starts[place]]:
            with torch.inference_mode(tensor.is_inference()):
                tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)


def address_of(tensor: torch.Tensor) -> int:
    """Where its memory begins; 0 for one without, as the tensors are that `torch.compile` has traced with."""
    if isinstance(tensor, FakeTensor):  # the only kind that answers, with a warning
        return 0
    try:
        return tensor.untyped_storage().data_ptr()
    except RuntimeError:  # the only way in which PyTorch says so, of its other kinds and of others' alike
        return 0

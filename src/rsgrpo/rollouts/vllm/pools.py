"""vLLM's own pools of GPU memory, which have to be empty before the next engine of a process can start."""

import gc
from bisect import bisect_right

import torch


def empty_pools() -> None:
    """Give back what a closed vLLM still holds on the GPU.

    Caches of its modules, and frames of exceptions, keep tensors beyond the engine's end: whatever lies in its pools
    loses its memory here. The pools themselves stay, as vLLM's own code leaves them: PyTorch would free them twice.

    Raises:
        RuntimeError: when memory is still in use that no tensor of this process explains.
    """
    from vllm.device_allocator.cumem import (  # pyright: ignore[reportMissingImports]
        CuMemAllocator,
        unmap_and_release,
    )

    allocator = CuMemAllocator.get_instance()
    ends = {address: address + data.handle[1] for address, data in allocator.pointer_to_data.items()}
    drop_between(ends)
    for pool, _ in [entry for entries in allocator.allocator_and_pools.values() for entry in entries]:
        for segment in pool.snapshot():
            data = allocator.pointer_to_data.get(segment["address"])
            if data is not None and segment["allocated_size"] == 0:
                handle = allocator._python_free_callback(segment["address"])
                if not data.is_asleep:
                    unmap_and_release(handle)
    if left := allocator.get_current_usage():
        raise RuntimeError(f"vLLM still holds {left:,} bytes of the GPU: another engine cannot start in this process")


def drop_between(ends: dict[int, int]) -> None:
    """Take the memory of every tensor that starts within one of the regions, given as {first address: end}."""
    starts = sorted(ends)
    for tensor in gc.get_objects():
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
            continue
        address = tensor.untyped_storage().data_ptr()
        place = bisect_right(starts, address) - 1
        if address and place >= 0 and address < ends[starts[place]]:
            with torch.inference_mode(tensor.is_inference()):
                tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)

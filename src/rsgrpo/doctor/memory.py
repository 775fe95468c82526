"""The memory that trainer and engine have in turn on a GPU: checks that only a GPU can run."""

import time

import torch

from rsgrpo.doctor.bench import Bench
from rsgrpo.doctor.engine import parity
from rsgrpo.doctor.table import Result

GIB = 2**30

LEFT_FREE = 0.02
"""Of the memory that is free, when PyTorch's allocator keeps the rest."""


def used() -> int:
    """Bytes in use on the GPU, by whomever."""
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free


class Sleep:
    """Sleep and wake of an engine, and its end."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def sleeps(self) -> Result:
        """What is in use before and after the engine has made room."""
        self.bench.sync()
        before = used()
        self.bench.engine.make_room()
        after = used()
        taken = torch.cuda.mem_get_info()[1] * 0.1
        words = f"{before / GIB:.1f} -> {after / GIB:.1f} GiB in use"
        return Result(words, "a tenth of the GPU freed", before - after >= taken)

    def wakes(self) -> Result:
        """And samples from the policy again."""
        begun = time.perf_counter()
        self.bench.sync()
        seconds = time.perf_counter() - begun
        result = parity(self.bench)
        return result._replace(measured=f"{result.measured}; wake and sync {seconds:.2f} s")

    def wakes_beside_cached_memory(self) -> Result:
        """PyTorch's allocator keeps what the trainer has freed, nearly the whole GPU here: the engine has to get it."""
        self.bench.engine.make_room()
        free, _ = torch.cuda.mem_get_info()
        kept = int(free * (1 - LEFT_FREE))
        torch.empty(kept, dtype=torch.uint8, device=self.bench.policy.device)
        self.bench.sync()
        result = parity(self.bench)
        return result._replace(measured=f"{result.measured}; {kept / GIB:.1f} GiB were cached")

    def a_second_engine(self) -> Result:
        """As the next job of a sweep starts its own: vLLM's allocator has to be empty, also of one that slept."""
        before = used()
        self.bench.engine.make_room()
        self.bench.close()
        after = used()
        begun = time.perf_counter()
        result = parity(self.bench)
        seconds = time.perf_counter() - begun
        words = f"{before / GIB:.1f} -> {after / GIB:.1f} GiB, then {result.measured} after {seconds:.0f} s"
        return result._replace(measured=words)

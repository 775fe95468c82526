"""Whether the engine gives the memory of a GPU back, and finds it again."""

import time

import torch

from benchmarks.gpu_smoke.bench import Bench, used_memory
from benchmarks.gpu_smoke.table import Result
from rsgrpo.rollouts.vllm.memory import GIB

LEFT_FREE = 0.1
"""Of the GPU's free memory, the share that a trainer which needs a lot leaves."""


class Memory:
    """The engine of a bench asleep, awake and closed."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def sleep(self) -> Result:
        """Nearly all that the engine took at its start is free while it sleeps."""
        self.bench.awake()
        before = used_memory()
        self.bench.engine.make_room()
        after = used_memory()
        return Result(
            f"{before / GIB:.1f} -> {after / GIB:.1f} GiB in use",
            f"{0.8 * self.bench.taken / GIB:.1f} GiB freed",
            before - after >= 0.8 * self.bench.taken,
        )

    def wake(self) -> Result:
        """Asleep, awake with new weights, and right."""
        self.bench.awake()
        self.bench.engine.make_room()
        start = time.perf_counter()
        self.bench.awake()
        seconds, result = time.perf_counter() - start, self.bench.parity()
        return result._replace(measured=f"{result.measured}, wake and sync {seconds:.2f} s")

    def crowded_wake(self) -> Result:
        """PyTorch's allocator keeps what the trainer has freed, nearly the whole GPU here: the engine has to get it."""
        self.bench.awake()
        self.bench.engine.make_room()
        free, _ = torch.cuda.mem_get_info()
        kept = int(free * (1 - LEFT_FREE))
        torch.empty(kept, dtype=torch.uint8, device=self.bench.options.device)
        self.bench.awake()
        result = self.bench.parity()
        return result._replace(measured=f"{result.measured}, {kept / GIB:.1f} GiB were cached")

    def close(self) -> Result:
        """What is in use afterwards is the trainer's."""
        self.bench.awake()
        before = used_memory()
        self.bench.engine.close()
        after = used_memory()
        return Result(
            f"{before / GIB:.1f} -> {after / GIB:.1f} GiB in use",
            f"{0.8 * self.bench.taken / GIB:.1f} GiB freed",
            before - after >= 0.8 * self.bench.taken,
        )

    def again(self) -> Result:
        """As the next job of a sweep starts its own: vLLM's allocator has to be empty."""
        started, result = self.bench.start(), self.bench.parity()
        self.bench.engine.close()
        return result._replace(measured=f"{result.measured}, start {started.measured}")

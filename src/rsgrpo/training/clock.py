"""Where the time of a step goes, and that of a process."""

import functools
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

Method = TypeVar("Method", bound=Callable[..., Any])


class StageClock:
    """Wall seconds by stage since the last `restart`, and the GPU's memory. Stages do not nest."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all stages and begin a new step now."""
        self._seconds: dict[str, float] = {}
        self._gpu_bytes: dict[str, int] = {}
        self._begun = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to stage `name`."""
        begun = time.perf_counter()
        self._look_at_memory(name)
        try:
            yield
        finally:
            self._look_at_memory(name)
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - begun

    def read(self) -> dict[str, float]:
        """Seconds of each stage, of everything between them (`other`) and of the whole (`step`); they sum to `step`."""
        step = time.perf_counter() - self._begun
        return {**self._seconds, "other": step - sum(self._seconds.values()), "step": step}

    def gpu_bytes(self) -> dict[str, int]:
        """Memory of this process's GPU that was in use, by whomever, when a stage began or ended: the larger of both.

        Within a stage PyTorch keeps what it has taken, so that its end shows its peak. Empty without a GPU in use.
        """
        return dict(self._gpu_bytes)

    def _look_at_memory(self, name: str) -> None:
        if torch.cuda.is_initialized():
            free, total = torch.cuda.mem_get_info()
            self._gpu_bytes[name] = max(self._gpu_bytes.get(name, 0), total - free)


def stage(name: str) -> Callable[[Method], Method]:
    """Count a method's time as stage `name` on its object's `clock`."""

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
            with self.clock.stage(name):
                return method(self, *args, **kwargs)

        return cast(Method, timed)

    return decorate


def cpu_seconds() -> float:
    """Seconds of CPU, user and system, of this process and of all below it, those that have ended included.

    The kernel adds a child to its parent's account when it has ended; those that go on have their own.
    """
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in ended) + _of_living_children(os.getpid())


def _of_living_children(process: int) -> float:
    below: dict[int, list[tuple[int, int]]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        # After its name: state, parent, ..., and from the 12th on utime, stime and those of its ended children.
        below.setdefault(int(fields[1]), []).append((int(file.parent.name), sum(map(int, fields[11:15]))))
    ticks, left = 0, [process]
    while left:
        for child, spent in below.get(left.pop(), ()):
            ticks += spent
            left.append(child)
    return ticks / os.sysconf("SC_CLK_TCK")

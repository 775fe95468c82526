"""The memory that vLLM takes and, on a GPU, shares with the trainer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import torch

from rsgrpo.errors import UserError

GIB = 2**30


def sizes(*, gpu_memory_share: float, kv_cache_gib: float | None, sleeps: bool) -> dict[str, Any]:
    """The settings of vLLM that bound its memory; see the fields of `VLLMEngine`."""
    cache = {} if kv_cache_gib is None else {"kv_cache_memory_bytes": int(kv_cache_gib * GIB)}
    if not torch.cuda.is_available():
        # Blocks of 32 tokens instead of the CPU's 128: prompts share whole blocks only.
        return {"kv_cache_memory_bytes": GIB, "block_size": 32} | cache
    free, total = torch.cuda.mem_get_info()
    return {"gpu_memory_utilization": gpu_memory_share * free / total, "enable_sleep_mode": sleeps} | cache


@dataclass(slots=True)
class GPUMemory:
    """A GPU's memory, which engine and trainer have in turn: vLLM sleeps while the trainer works. Nothing on a CPU."""

    asleep: bool = False

    def sleep(self, llm: Any, *, keeps_weights: bool) -> None:
        """Free the memory. Weights are dropped, unless no `load_policy` brings them anew: those are kept by the host.

        Raises:
            UserError: when there is not enough memory.
        """
        if self.asleep or not torch.cuda.is_available():
            return
        with in_words():
            llm.sleep(level=1 if keeps_weights else 2)
        self.asleep = True

    def wake(self, llm: Any, what: Literal["weights", "kv_cache"]) -> None:
        """Take the memory back: first for the weights and, once they are loaded, for the cache.

        Woken the other way round, the cache and the weights that are being gathered would be in memory together.

        Raises:
            UserError: when there is not enough memory.
        """
        if not self.asleep or not torch.cuda.is_available():
            return
        with in_words():
            llm.wake_up(tags=[what])
        self.asleep = what == "weights"

    def wake_to_end(self, llm: Any) -> None:
        """What sleeps cannot be freed. Without the memory for it, its addresses stay taken as long as the process."""
        with suppress(UserError):
            self.wake(llm, "weights")
            self.wake(llm, "kv_cache")


@contextmanager
def in_words() -> Iterator[None]:
    """Turn a lack of memory into a sentence with the numbers and the fields; other errors pass unchanged.

    Raises:
        UserError: when there is not enough memory.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        # PyTorch's own kind of error, or what the allocator of an engine that sleeps says in a plain RuntimeError:
        # "CUDA Error: out of memory at FILE:LINE".
        words = re.sub(r" at \S+:\d+$", "", str(error).partition("\n")[0])
        of_memory = "memory" if isinstance(error, ValueError) else "out of memory"
        if of_memory not in words.lower():
            raise
        bounds = ("gpu_memory_share", "kv_cache_gib", "max_tokens", "max_rows")
        raise UserError(_not_enough(words), row_tokens="batching", **dict.fromkeys(bounds, "engine")) from error


def _not_enough(words: str) -> str:
    """vLLM's words about memory, with what is free, and with our fields instead of its settings."""
    free = ""
    if torch.cuda.is_available():
        left, total = torch.cuda.mem_get_info()
        free = f"; {left / GIB:.1f} of the GPU's {total / GIB:.1f} GiB are free"
    cure = "lower gpu_memory_share on a GPU or kv_cache_gib on a CPU, max_tokens, max_rows or row_tokens"
    if "KV cache is needed" in words:
        words = "the keys and values of one completion of max_tokens do not fit"
        cure = "lower max_tokens, or raise kv_cache_gib or, on a GPU, gpu_memory_share"
    words = words.partition(". Decrease")[0].rstrip(".")  # what follows are vLLM's own settings
    return f"vLLM: not enough memory{free}: {words}; {cure}"

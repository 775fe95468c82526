"""The process that hosts vLLM: what vLLM needs of it before it is imported, and how it is left as it was."""

import importlib
import importlib.util
import logging
import os
import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in this process
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else every rank is bound to the same cores
    "VLLM_USE_FLASHINFER_SAMPLER": "0",  # compiled at its first use, and silent on the truncated log-probs
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def missing() -> str | None:
    """Why there is no vLLM here, with the cure; None where it is installed."""
    if importlib.util.find_spec("vllm") is not None:
        return None
    return "vLLM is not installed; on a CPU: make vllm, on a GPU node: pip install 'rsgrpo[vllm]'"


def import_llm() -> Any:
    """vLLM's class, imported with the environment that it needs to work in this process, as this rank.

    Optional imports fail on the way, and whoever keeps such an error keeps the frames below it. In a thread of its own
    those are not the trainer's, which hold the policy and the optimiser.
    """
    os.environ.update(ENVIRONMENT, OMP_NUM_THREADS=str(torch.get_num_threads()))
    if dist.is_initialized() and dist.get_world_size() > 1:
        on_device = torch.cuda.current_device() if torch.cuda.is_available() else dist.get_rank()
        os.environ.update(RANK=str(dist.get_rank()), LOCAL_RANK=str(on_device))
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: importlib.import_module("vllm").LLM).result()


@contextmanager
def left_as_it_was(device_type: str, *, enforce_eager: bool) -> Iterator[None]:
    """Around every call of vLLM: what it changes in this process is put back.

    It seeds and draws from the global random number generators, replaces `torch.set_num_threads`, may change the
    number of threads, sets environment variables that child processes would inherit, and says much that no user of
    this engine can act on. Left as vLLM leaves them are functions of `torch.accelerator`, which do nothing on a
    machine that has none, the inductor's settings, and the memory's binding to the process's own NUMA nodes.
    """
    # Eager, vLLM's compiled counting of ranks would take half a minute, to be thrown away.
    stance = "force_eager" if enforce_eager else "default"
    environment = dict(os.environ)
    threads, set_num_threads = torch.get_num_threads(), torch.set_num_threads
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    on_device = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    quiet = logging.root.manager.disable
    with (
        torch.random.fork_rng(on_device),
        torch.compiler.set_stance(stance),
        torch.autocast(device_type, enabled=False),  # the trainer's; vLLM has a type of its own
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(quiet)
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            torch.set_num_threads = set_num_threads
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            os.environ.clear()
            os.environ.update(environment)


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The process group that vLLM has started in."""

    world: Any
    made_by_vllm: bool

    @classmethod
    def of_start(cls, *, there_before: bool) -> "ProcessGroup":
        """The one that is there now that vLLM has started."""
        return cls(dist.group.WORLD, dist.is_initialized() and not there_before)

    @contextmanager
    def sparing_others(self) -> Iterator[None]:
        """Inside, vLLM destroys its own process groups and no other."""
        destroy = dist.destroy_process_group

        def destroy_own(group: Any = None) -> None:
            there = dist.is_initialized() and dist.group.WORLD is self.world  # all groups go with the first
            if there and (group is not None or self.made_by_vllm):
                destroy(group)

        dist.destroy_process_group = destroy_own
        try:
            yield
        finally:
            dist.destroy_process_group = destroy

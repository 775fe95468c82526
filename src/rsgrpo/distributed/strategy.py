"""Lightning's strategy for FSDP2: one data-parallel mesh over all processes, started by the command line itself."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _launch_process_observer
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from rsgrpo.distributed import ranks
from rsgrpo.errors import FieldError

PARENT = "RSGRPO_PARENT"
"""Tells a process that was started by another rank which process that is."""

LAUNCHED = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
"""The variables that the launcher adds to the environment."""

LAST_WORDS_S = 5.0
"""How long other processes may go on, and show their own traceback, after rank 0 has failed."""


class FSDP2(ModelParallelStrategy):
    """Shards over all processes of all nodes; NCCL between GPUs, gloo between CPUs.

    Processes that torchrun or Slurm has started are taken as they are. Otherwise this process starts the others of its
    node, each with `command`, and they end with it.

    Raises:
        FieldError: for a time-out that is not positive.
    """

    def __init__(self, *, timeout_minutes: float = 30.0) -> None:
        if not isinstance(timeout_minutes, int | float) or timeout_minutes <= 0:
            raise FieldError("timeout_minutes", timeout_minutes, "must be a positive number", "try timeout_minutes=30")
        super().__init__(tensor_parallel_size=1, timeout=timedelta(minutes=timeout_minutes))
        self.command: Sequence[str] = ()
        self.cpu_offload = False
        """Whether weights and gradients lie in the host's memory: sums over ranks then need gloo beside NCCL."""

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        if not self.cluster_environment.creates_processes_externally:
            self._launcher = Launcher(self.cluster_environment, self.num_processes, self.num_nodes, self.command)

    def _get_process_group_backend(self) -> str:
        backend = super()._get_process_group_backend()
        return f"cpu:gloo,cuda:{backend}" if self.cpu_offload and backend == "nccl" else backend

    def model_to_device(self) -> None:
        if not self.cpu_offload:
            super().model_to_device()

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        if PARENT in os.environ and os.environ.get("LOCAL_RANK", "0") != "0":
            threading.Thread(target=_end_with, args=(int(os.environ[PARENT]),), daemon=True).start()
        super().setup_environment()


class Launcher(_SubprocessScriptLauncher):
    """Starts the other processes of this node with the command it is given, when the first loop is entered."""

    def __init__(
        self, environment: ClusterEnvironment, num_processes: int, num_nodes: int, command: Sequence[str]
    ) -> None:
        super().__init__(environment, num_processes, num_nodes)
        self.command = command
        self.observed: list[subprocess.Popen[bytes]] = []
        """The other processes, as long as the end of one of them ends this one at once."""

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
            self.observed = list(self.procs)
            _launch_process_observer(self.observed)
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            self.observed.clear()  # once another has ended, the observer would kill this one before it has said why
            for note in self._end_others():
                error.add_note(note)
            raise

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        environment = self.cluster_environment
        os.environ.update(
            MASTER_ADDR=environment.main_address,
            MASTER_PORT=str(environment.main_port),
            NODE_RANK=str(environment.node_rank()),
            LOCAL_RANK=str(environment.local_rank()),
            WORLD_SIZE=str(self.num_processes * self.num_nodes),
        )
        children = {PARENT: str(os.getpid()), "LOCAL_WORLD_SIZE": str(self.num_processes)}
        self.procs = [
            subprocess.Popen(self.command, env={**os.environ, **children, "LOCAL_RANK": str(rank)})
            for rank in range(1, self.num_processes)
        ]

    def _end_others(self) -> list[str]:
        """Give the other processes a moment for their own last words, then end them; says how each of them ended.

        As long as this process is there they would wait for it: one that ends now does so for a reason of its own.
        """
        deadline = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < deadline and any(process.poll() is None for process in self.procs):
            time.sleep(0.1)
        notes = [f"rank {rank} {_end_of(process)}" for rank, process in enumerate(self.procs, start=1)]
        for process in self.procs:
            if process.poll() is None:
                process.kill()
        return notes


def _end_of(process: subprocess.Popen[bytes]) -> str:
    code = process.poll()
    if code is None:
        return "was still running"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def leave_others(launcher: Any) -> None:
    """Leave the other ranks: the next run of this process, of a sweep for example, meets others."""
    ranks.leave()
    if isinstance(launcher, Launcher) and launcher.procs:
        for process in launcher.procs:
            process.wait()
        for name in LAUNCHED:
            os.environ.pop(name, None)


def _end_with(parent: int) -> None:
    """End this process when the one that started it has gone: it would wait for ever in a collective."""
    while os.getppid() == parent:
        time.sleep(1)
    words = f"error: rank {os.environ['LOCAL_RANK']}: the process of rank 0 is gone, this one ends too"
    try:
        print(words, file=sys.stderr, flush=True)
    finally:  # nobody may be reading any more
        os.kill(os.getpid(), signal.SIGKILL)

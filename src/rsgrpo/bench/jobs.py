"""Runs side by side, each a process with its own command line, its own folder and one thread.

A process that has imported what a run imports forks for each of them: that takes most of a short run's start.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from filelock import FileLock

from rsgrpo import run_folder
from rsgrpo.workers.expendable import end_with_parent
from rsgrpo.workers.last_words import last_words, tail

POLL_S = 0.2

IMPORTED = (
    *("rsgrpo.main", "rsgrpo.tasks.train", "rsgrpo.models.tiny", "rsgrpo.rollouts.hf"),
    *("rsgrpo.callbacks.evaluation", "rsgrpo.callbacks.metrics", "rsgrpo.callbacks.records"),
    *("rsgrpo.callbacks.checkpoint", "rsgrpo.callbacks.progress", "transformers.models.qwen3.modeling_qwen3"),
)
"""By the process that forks."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run that is to be started."""

    name: str
    words: Sequence[str]
    folder: Path
    """Of the run."""
    output: Path
    """The file that takes what it prints."""


@dataclass(slots=True, kw_only=True)
class Running:
    """A run that has been started."""

    job: Job
    process: ForkServerProcess
    begun: float
    """time.monotonic()"""

    def progress(self) -> str:
        """`iteration 12`, of the last record that it has written."""
        metrics = self.job.folder / run_folder.METRICS
        records = run_folder.read(metrics) if metrics.exists() else []
        last = max((record["iteration"] for record in records), default=0)
        return f"iteration {last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that has ended."""

    job: Job
    code: int
    """0, or how it failed; negative: the signal."""
    seconds: float

    def said(self) -> str:
        """Its last words."""
        return last_words(tail(self.job.output))


def run_jobs(
    take: Callable[[], Job | None],
    *,
    at_once: int,
    tell: Callable[[Sequence[Running]], None],
    stopping: Callable[[int], None],
) -> Iterator[Ended]:
    """Start what `take` gives, `at_once` at a time, and yield each job as it ends; `tell` is called between.

    `take` gives None while there is nothing to start: what a job ends with may lead to others. One that fails stops no
    other. An exception here, Ctrl-C for one, stops all that run with SIGTERM: each finishes its iteration and saves,
    and `stopping` is told how many. They end with this process, however it ends.
    """
    running: list[Running] = []
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    try:
        while True:
            while len(running) < at_once and (job := take()) is not None:
                with interrupts_held():
                    running.append(_start(job, context))
            if not running:
                return
            for one in [one for one in running if one.process.exitcode is not None]:
                running.remove(one)
                seconds = time.monotonic() - one.begun
                yield Ended(job=one.job, code=one.process.exitcode or 0, seconds=seconds)
            tell(running)
            time.sleep(POLL_S)
    finally:
        if running:
            stopping(len(running))
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.join()


def _start(job: Job, context: ForkServerContext) -> Running:
    job.output.parent.mkdir(parents=True, exist_ok=True)
    words = [*job.words, f"hydra.run.dir='{job.folder}'", "ckpt=auto"]
    process = context.Process(target=_become, args=([sys.argv[0], *words], str(job.output)), name=job.name)
    with _environment(ONE_THREAD):  # of the process that forks, which begins with the first job
        process.start()
    return Running(job=job, process=process, begun=time.monotonic())


def _become(words: list[str], output: str) -> None:
    """What `python WORDS...` does, in this forked process."""
    os.setsid()  # Ctrl-C is for the bench, which then ends its jobs in its own way
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    end_with_parent()
    lock = FileLock(f"{output}.lock")  # of another bench, or of a process that is still saving its run
    lock.acquire()
    with open(output, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.update(ONE_THREAD)
    sys.argv, sys.orig_argv = words, [sys.executable, *words]
    importlib.import_module("rsgrpo.main").main()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the end: a job that is being started has to be known before anything stops it.

    The process that forks inherits the mask. While it imports, for seconds, Ctrl-C is not for it.

    Raises:
        KeyboardInterrupt: at the end, if Ctrl-C was pressed.
    """
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))  # it may reach another thread
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

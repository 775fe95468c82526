"""The jobs of a sweep (`-m`): each has its turn, and those that failed are named at the end."""

import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from rsgrpo.analysis.durations import in_words
from rsgrpo.command_line.arguments import words_of_job
from rsgrpo.command_line.own_names import in_keys
from rsgrpo.errors import UserError

BUG = 1
"""Exit code of a traceback."""

USER_ERROR = 2
"""Exit code for a mistake in what was asked for."""

FINISHED: list[Path] = []
"""The folder of the sweep that has just ended in this process."""


class FolderOfSweep(Callback):
    """Hydra calls it after the last job of a sweep, whatever launched the jobs: remembers the sweep's folder."""

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        FINISHED[:] = [Path(config.hydra.sweep.dir)]


class JobFailed(Exception):
    """A job of a sweep that has already reported why it failed."""


@dataclass(slots=True, kw_only=True)
class Sweep:
    """What became of the jobs of a sweep."""

    jobs: int = 0
    """That have had their turn."""
    failed: list[str] = field(default_factory=list)
    """Number, overrides and folder of each job that failed."""
    has_bug: bool = False
    swept: Sequence[str] = ()
    """By number, the words in which each job differs from the others; none where their number is not known."""
    finished: Sequence[int] = ()
    """The numbers of those that were finished before."""
    seconds: list[float] = field(default_factory=list)
    """That each job has taken."""
    is_here: bool = False
    """Whether this process has started the sweep, and not a launcher that it handed its jobs to."""

    @contextmanager
    def turn(self, number: int | None) -> Iterator[None]:
        """A job from its beginning to its end; one of a sweep says which of how many it is, and how long is left."""
        if number is not None and self.swept:
            print(f"{self._headline(number)}: {self.swept[number]}".removesuffix(": "), file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            yield
        finally:
            self.jobs += 1
            if number not in self.finished:
                self.seconds.append(time.monotonic() - began)

    def _headline(self, number: int) -> str:
        left = [other for other in range(number, len(self.swept)) if other not in self.finished]
        usual = sum(self.seconds) / len(self.seconds) if self.seconds else None
        return headline(number + 1, len(self.swept), None if usual is None else usual * len(left))

    def fail(self, run: Path, error: Exception) -> None:
        """Say why a job failed and remember it; the sweep goes on.

        Raises:
            JobFailed: in another process than that of the sweep, which has to be told.
        """
        if isinstance(error, UserError):
            print(f"error: {in_keys(error)}", file=sys.stderr)
        else:
            traceback.print_exception(error)
            self.has_bug = True
        self.note(HydraConfig.get().job.num, words_of_job(), run)
        if not self.is_here:
            raise JobFailed(self.failed[-1]) from None

    def note(self, number: int, words: Sequence[str], run: Path) -> None:
        """Remember a job that has failed."""
        self.failed.append(f"#{number} {' '.join(words)} ({run})")

    def close(self) -> int:
        """Name the jobs that failed; returns the exit code of the sweep."""
        if not self.failed:
            return 0
        count = f"{len(self.failed)} of {self.jobs} jobs failed"
        print(f"error: {count}, numbered from 0 as their folders are:", file=sys.stderr)
        for job in self.failed:
            print(f"  {job}", file=sys.stderr)
        cure = "once that is mended, the same words with ckpt=auto run what is left, and no finished job again"
        print(cure, file=sys.stderr)
        return BUG if self.has_bug else USER_ERROR


def headline(job: int, jobs: int, left: float | None) -> str:
    """How far a sweep is; `left` are the seconds to its end, if they are known.

    >>> headline(3, 6, 130.0)
    'job 3/6, 2 min left'
    >>> headline(1, 6, None)
    'job 1/6'
    """
    return f"job {job}/{jobs}" + (f", {in_words(left)} left" if left else "")


def is_sweep() -> bool:
    """Whether this is a job of a sweep."""
    return HydraConfig.get().mode == RunMode.MULTIRUN

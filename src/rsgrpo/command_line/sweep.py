"""The jobs of a sweep (`-m`): each has its turn, and those that failed are named at the end."""

import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from rsgrpo.command_line.arguments import words_of_job
from rsgrpo.command_line.own_names import in_keys
from rsgrpo.errors import UserError

BUG = 1
"""Exit code of a traceback."""


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
    """What became of the jobs that this process has run."""

    jobs: int = 0
    failed: list[str] = field(default_factory=list)
    """Number, overrides and folder of each job that failed."""
    has_bug: bool = False
    is_here: bool = False
    """Whether this process has started the sweep, and not a launcher that it handed its jobs to."""

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
        job = HydraConfig.get()
        self.failed.append(f"#{job.job.num} {' '.join(words_of_job())} ({run})")
        if not self.is_here:
            raise JobFailed(self.failed[-1]) from None

    def close(self, user_error: int) -> int:
        """Name the jobs that failed; returns the exit code of the sweep."""
        if not self.failed:
            return 0
        count = f"{len(self.failed)} of {self.jobs} jobs failed"
        print(f"error: {count}, numbered from 0 as their folders are:", file=sys.stderr)
        for job in self.failed:
            print(f"  {job}", file=sys.stderr)
        cure = "correct that and start the sweep again with ckpt=auto: jobs that are finished are passed over"
        print(cure, file=sys.stderr)
        return BUG if self.has_bug else user_error


def is_sweep() -> bool:
    """Whether this is a job of a sweep."""
    return HydraConfig.get().mode == RunMode.MULTIRUN

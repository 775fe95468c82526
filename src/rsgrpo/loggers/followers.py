"""Loggers held to the records of the run folder.

`metrics.jsonl` says what a run has logged. A resumed run forgets what came after its checkpoint, and a kill may come
between a record and its copy in a log: `follow` makes the log say what the records say, every iteration once.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch.loggers import Logger

from rsgrpo import run_folder
from rsgrpo.loggers.csv import CSV
from rsgrpo.loggers.records import Record
from rsgrpo.loggers.tensorboard import TensorBoard


@runtime_checkable
class FollowsRecords(Protocol):
    """A logger that shows each record of a run once, however often the run was resumed."""

    def log_record(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Show what was just appended to `metrics.jsonl`."""
        ...

    def follow(self, records: Sequence[Record], samples: Sequence[Record]) -> None:
        """Show these records of `metrics.jsonl` and `rollouts.jsonl`, and no others."""
        ...

    def save(self) -> None:
        """Hand what was logged to the disk."""
        ...


def show(loggers: Iterable[Any], metrics: Mapping[str, float], iteration: int) -> None:
    """Hand what an iteration or an evaluation logged to every logger, `metrics.jsonl` first.

    What is not finite is NaN to all of them, as a resumed run will read it in the records.
    """
    metrics = {name: value if math.isfinite(value) else math.nan for name, value in metrics.items()}
    for logger in loggers:
        if isinstance(logger, FollowsRecords):
            logger.log_record(metrics, iteration)
        else:
            logger.log_metrics(metrics, step=iteration)
        logger.save()


def follow_records(run: Path, loggers: Iterable[Logger]) -> None:
    """Bring the logs of a run folder to its records: those of `loggers`, and those that another choice of logger left.

    Raises:
        UserError: when the disk refuses.
    """
    followers: list[FollowsRecords] = [logger for logger in loggers if isinstance(logger, FollowsRecords)]
    for kind in (TensorBoard, CSV):
        left = kind(run)
        if Path(left.log_dir).is_dir() and not any(isinstance(logger, kind) for logger in followers):
            followers.append(left)
    records, samples = run_folder.read(run / run_folder.METRICS), run_folder.read(run / run_folder.ROLLOUTS)
    for logger in followers:
        logger.follow(records, samples)

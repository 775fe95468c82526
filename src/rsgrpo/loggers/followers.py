"""What `logger=` names: Lightning's loggers, held to the records of the run folder.

`metrics.jsonl` says what a run has logged. A resumed run forgets what came after its checkpoint, and a kill may come
between a record and its copy in a log: `follow` makes the log say what the records say, every iteration once.
"""

import inspect
import math
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.summary.writer.event_file_writer import _AsyncWriterThread
from torch.utils.tensorboard.writer import SummaryWriter

from rsgrpo import run_folder
from rsgrpo.fields import check_at_least_one
from rsgrpo.loggers import event_files

Record = Mapping[str, Any]

GLOBAL_STEP = "trainer/global_step"
"""Lightning's name for the horizontal axis at W&B: the iteration."""

ROWS = 3
"""Rows of an iteration at W&B: its training, its validation, its test."""


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


def _metrics(record: Record) -> dict[str, float]:
    """What was logged: a record holds null for what is not finite."""
    values = ((name, value) for name, value in record.items() if name != "iteration")
    return {name: math.nan if value is None else value for name, value in values}


_say_how_a_thread_failed = threading.excepthook


def _unless_raised_again(failed: threading.ExceptHookArgs) -> None:
    if not isinstance(failed.thread, _AsyncWriterThread):
        _say_how_a_thread_failed(failed)


def _check_passed_on(given: Mapping[str, Any], *takers: Callable[..., Any]) -> None:
    """Refuse what a logger would pass on, at its first record only, to something that does not take it.

    Raises:
        TypeError: as Python says it of an argument of one's own.
    """
    taken = {name for taker in takers for name in inspect.signature(taker).parameters}
    for name in given:
        if name not in taken - {"kwargs", "log_dir"}:
            raise TypeError(f"got an unexpected keyword argument {name!r}")


class TensorBoard(TensorBoardLogger):
    """Event files in `tensorboard/`."""

    FOLDER = "tensorboard"

    def __init__(
        self,
        save_dir: Path | str,
        name: str | None = None,
        version: str = FOLDER,
        default_hp_metric: bool = False,
        max_queue: int = 10,
        flush_secs: int = 120,
        **lightnings: Any,
    ) -> None:
        check_at_least_one(max_queue=max_queue, flush_secs=flush_secs)
        _check_passed_on(lightnings, TensorBoardLogger, SummaryWriter)
        own = {"default_hp_metric": default_hp_metric, "max_queue": max_queue, "flush_secs": flush_secs}
        super().__init__(save_dir, name, version, **own, **lightnings)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer of event files. What its thread fails with is raised by its next call, and not printed before."""
        if self._experiment is None:
            threading.excepthook = _unless_raised_again
        return super().experiment

    def log_record(self, metrics: Mapping[str, float], iteration: int) -> None:
        self.log_metrics(metrics, step=iteration)

    @rank_zero_only
    def follow(self, records: Sequence[Record], samples: Sequence[Record]) -> None:
        """Write the event files anew as one. What a callback of the user's has added stays as far as the records go."""
        folder = Path(self.log_dir)
        (folder / self.NAME_HPARAMS_FILE).unlink(missing_ok=True)  # a kill may have left half of it; made again
        scalars = [(record["iteration"], _metrics(record)) for record in records]
        event_files.write_anew(folder, scalars, event_files.texts(samples))


class CSV(CSVLogger):
    """One table, `csv/metrics.csv`: a row for each record, a column for each metric."""

    FOLDER = "csv"

    def __init__(
        self,
        save_dir: Path | str,
        name: str | None = None,
        version: str = FOLDER,
        flush_logs_every_n_steps: int = 1,
        **lightnings: Any,
    ) -> None:
        check_at_least_one(flush_logs_every_n_steps=flush_logs_every_n_steps)
        super().__init__(save_dir, name, version, flush_logs_every_n_steps=flush_logs_every_n_steps, **lightnings)

    def log_record(self, metrics: Mapping[str, float], iteration: int) -> None:
        self.log_metrics(dict(metrics), step=iteration)

    @rank_zero_only
    def follow(self, records: Sequence[Record], samples: Sequence[Record]) -> None:
        """Begin the table anew with what the records hold; text has no place in a table of numbers."""
        (Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE).unlink(missing_ok=True)
        for record in records:
            self.experiment.log_metrics(_metrics(record), record["iteration"])
        self.save()


class Wandb(WandbLogger):
    """One W&B run for each run folder: its id is that of `run.json`.

    The row of a record follows from its iteration and kind: one that the service has is not sent again, and one that a
    kill kept from it is. Offline each process leaves a folder of its own, and the newest holds the whole run.
    """

    def __init__(
        self,
        save_dir: Path | str,
        name: str | None,
        project: str = "rsgrpo",
        offline: bool = False,
        **lightnings: Any,
    ) -> None:
        super().__init__(save_dir=save_dir, project=project, name=name, offline=offline, **lightnings)
        import wandb  # pyright: ignore[reportMissingImports]

        _check_passed_on(lightnings, WandbLogger, wandb.init)
        self.run = Path(save_dir)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run. That of an earlier job of this process is finished first."""
        import wandb  # pyright: ignore[reportMissingImports]

        if self._experiment is None:
            self._wandb_init["id"] = self._id = self._id or run_folder.run_id(self.run)
            if wandb.run is not None and wandb.run.id != self._id:
                wandb.finish()
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """For callbacks that log by themselves: their values go beside the next record, and never number a row."""
        at = {} if step is None else {GLOBAL_STEP: step}
        self.experiment.log({**metrics, **at}, step=self.experiment.step)

    @rank_zero_only
    def log_record(self, metrics: Mapping[str, float], iteration: int) -> None:
        row = ROWS * iteration + _kind(metrics)
        if row >= self.experiment.starting_step:
            self.experiment.log({**metrics, GLOBAL_STEP: iteration}, step=row, commit=True)

    @rank_zero_only
    def follow(self, records: Sequence[Record], samples: Sequence[Record]) -> None:
        """Send what W&B lacks. Offline that is everything, and the folders of earlier processes go."""
        for record in records:
            self.log_record(_metrics(record), record["iteration"])
        if self.experiment.offline:
            mine = Path(self.experiment.dir).parent
            for earlier in (self.run / "wandb").glob(f"offline-run-*-{self._id}"):
                if earlier.resolve() != mine.resolve():
                    shutil.rmtree(earlier)


def _kind(metrics: Mapping[str, float]) -> int:
    """0: of training, 1: of the validation after it, 2: of the test after both."""
    return (
        2
        if any(name.startswith("eval/test/") for name in metrics)
        else int(any(name.startswith("eval/validation/") for name in metrics))
    )

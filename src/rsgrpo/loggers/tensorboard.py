"""`logger=tensorboard`: event files that show the records."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.summary.writer.event_file_writer import _AsyncWriterThread
from torch.utils.tensorboard.writer import SummaryWriter

from rsgrpo.fields import check_at_least_one
from rsgrpo.loggers import event_files
from rsgrpo.loggers.records import Record, metrics_of
from rsgrpo.loggers.settings import check_passed_on

_say_how_a_thread_failed = threading.excepthook


def _unless_raised_again(failed: threading.ExceptHookArgs) -> None:
    if not isinstance(failed.thread, _AsyncWriterThread):
        _say_how_a_thread_failed(failed)


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
        check_passed_on(lightnings, TensorBoardLogger, SummaryWriter)
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
        scalars = [(record["iteration"], metrics_of(record)) for record in records]
        event_files.write_anew(folder, scalars, event_files.texts(samples))

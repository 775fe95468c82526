"""`logger=csv`: a table of the records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from rsgrpo.fields import check_at_least_one
from rsgrpo.loggers.records import Record, metrics_of


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
            self.experiment.log_metrics(metrics_of(record), record["iteration"])
        self.save()

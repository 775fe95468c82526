"""`metrics.jsonl`: a Lightning logger that every run has, beside the one that was chosen."""

import math
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from rsgrpo import run_folder


class MetricsFile(Logger):
    """Appends one record per call: the iteration and every metric logged at it, non-finite values as null."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> int:
        return run_folder.FORMAT

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The run folder holds the whole configuration as `config.yaml`."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        run_folder.append(self.run / run_folder.METRICS, [{"iteration": step, **finite}])

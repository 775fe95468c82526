"""`logger=wandb`: a run at W&B that shows the records."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from rsgrpo import run_folder
from rsgrpo.loggers.records import Record, metrics_of
from rsgrpo.loggers.settings import check_passed_on

GLOBAL_STEP = "trainer/global_step"
"""Lightning's name for the horizontal axis at W&B: the iteration."""

ROWS = 3
"""Rows of an iteration at W&B: its training, its validation, its test."""


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

        check_passed_on(lightnings, WandbLogger, wandb.init)
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
        """For callbacks that log by themselves: their values join the next record and never make a row."""
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
            self.log_record(metrics_of(record), record["iteration"])
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

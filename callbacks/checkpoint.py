"""Resumable checkpoints on a schedule."""

from pathlib import Path
from typing import Any

import lightning

from rsgrpo.training import checkpoints
from rsgrpo.training.module import RLModule
from rsgrpo.types import check_at_least_one


class Checkpoint(lightning.Callback):
    """Every `every` iterations, and at the last one, writes `checkpoints/iteration_NNNNNN.ckpt`; keeps the newest."""

    def __init__(self, every: int, keep: int) -> None:
        check_at_least_one(every=every, keep=keep)
        self.every, self.keep = every, keep

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        if report.iteration % self.every == 0 or report.is_last:
            checkpoints.save(trainer, Path(trainer.default_root_dir), report.iteration, keep=self.keep)

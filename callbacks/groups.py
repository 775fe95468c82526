"""What the groups of an iteration looked like and which were dropped."""

from typing import Any

import lightning

from rsgrpo.evaluation.statistics import group_statistics
from rsgrpo.training.module import RLModule


class GroupStatistics(lightning.Callback):
    """Logs `train/groups_kept`, `train/groups_dropped/<reason>`, the shares of all-correct and all-wrong groups, and
    `train/advantage_rms`, the scale without which two objectives cannot be compared at one learning rate."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        pl_module.log_metrics({f"train/{k}": v for k, v in group_statistics(report).items()})

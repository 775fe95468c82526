"""The value that the schedule set."""

from typing import Any

import lightning

from rsgrpo.training.module import RLModule


class ScheduledValue(lightning.Callback):
    """Logs `train/beta` or `train/k`, whichever the objective has; with an adaptive schedule the mean over the prompts
    that were trained on, and `train/beta_min`, `train/beta_max` beside it."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.log_metrics({f"train/{name}": value for name, value in outputs["report"].in_force.items()})

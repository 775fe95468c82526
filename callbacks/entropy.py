"""The policy's entropy on what it is trained on."""

from typing import Any

import lightning

from rsgrpo.training.module import RLModule


class Entropy(lightning.Callback):
    """Logs `train/entropy`: nats per trained token, at the sampling temperature, before the update.

    An iteration that trained nothing logs nothing.
    """

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        if report.entropy is not None:
            pl_module.log_metrics({"train/entropy": report.entropy})

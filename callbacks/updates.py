"""What the optimiser did."""

from typing import Any

import lightning

from rsgrpo.evaluation.statistics import update_statistics
from rsgrpo.training.module import RLModule


class UpdateStatistics(lightning.Callback):
    """Logs `train/loss`, `train/grad_norm`, `train/clip_fraction`, `train/learning_rate`, `train/loss_tokens`,
    `train/logprob_gap` (largest |trainer - sampler| log-prob) and both counters, iterations and optimiser steps."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        metrics = {f"train/{name}": value for name, value in update_statistics(report).items()}
        if report.logprob_gap is not None:
            metrics["train/logprob_gap"] = report.logprob_gap
        counters = {"train/iteration": report.iteration, "train/optimizer_steps": report.optimizer_steps}
        pl_module.log_metrics(metrics | counters)

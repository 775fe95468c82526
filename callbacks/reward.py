"""Reward and length of the rollouts, before any filter."""

from typing import Any

import lightning

from rsgrpo.evaluation.statistics import rollout_statistics
from rsgrpo.training.module import RLModule


class Reward(lightning.Callback):
    """Logs `train/reward_mean`, `train/accuracy`, `train/completion_tokens_mean`, `train/truncated_fraction`."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        statistics = rollout_statistics(report.groups)
        pl_module.log_metrics({f"train/{name}": value for name, value in statistics.items()})

"""Reward and length of the rollouts, before any filter."""

from typing import Any

import lightning

from rsgrpo.evaluation.statistics import reward_parts, rollout_statistics
from rsgrpo.training.module import RLModule


class Reward(lightning.Callback):
    """Logs `train/reward_mean`, `train/accuracy`, `train/completion_tokens_mean`, `train/truncated_fraction`, and the
    mean of each part of the reward, a share for diagnostics: `train/reward/no_box`, `train/reward/timeout`, ...

    Which parts were seen is part of the checkpoint.
    """

    def __init__(self) -> None:
        self.parts: set[str] = set()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        statistics, parts = rollout_statistics(report.outcomes), reward_parts(report.outcomes)
        self.parts |= parts.keys()  # a part that was seen once is 0 from then on, not absent
        pl_module.log_metrics({f"train/{name}": value for name, value in statistics.items()})
        pl_module.log_metrics({f"train/reward/{name}": parts.get(name, 0.0) for name in sorted(self.parts)})

    def state_dict(self) -> dict[str, Any]:
        return {"parts": sorted(self.parts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.parts = set(state_dict["parts"])

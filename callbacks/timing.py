"""Where the time of an iteration went."""

from typing import Any

import lightning

from rsgrpo.evaluation.statistics import throughput
from rsgrpo.training.module import RLModule


class StageTimes(lightning.Callback):
    """Logs `time/<stage>_s` of every stage (they sum to `time/step_s`) and tokens per second sampled and trained."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        seconds = {f"time/{name}_s": value for name, value in report.seconds.items()}
        rates = {f"time/{name}": value for name, value in throughput(report).items()}
        pl_module.log_metrics(seconds | rates)

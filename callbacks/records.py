"""One record for every prompt that was visited."""

from pathlib import Path
from typing import Any

import lightning

from rsgrpo import run_folder
from rsgrpo.training.module import RLModule


class PromptRecords(lightning.Callback):
    """Appends to `prompts.jsonl`: iteration, prompt, n, correct, mean reward, and why its group was dropped."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        records = [
            {
                "iteration": report.iteration,
                "prompt": outcome.prompt_id,
                "n": len(outcome.scores),
                "correct": outcome.num_correct,
                "reward_mean": sum(outcome.rewards) / len(outcome.rewards),
                "dropped": reason,
            }
            for outcome, reason in zip(report.outcomes, report.dropped, strict=True)
        ]
        if trainer.is_global_zero:
            run_folder.append(Path(trainer.default_root_dir) / run_folder.PROMPTS, records)

"""What the policy actually writes."""

from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.loggers import TensorBoardLogger

from rsgrpo import run_folder
from rsgrpo.distributed import ranks
from rsgrpo.fields import check_at_least_one
from rsgrpo.loggers.event_files import texts
from rsgrpo.training.module import RLModule
from rsgrpo.types import ScoredGroup, StepReport


class SampledCompletions(lightning.Callback):
    """Every `every` iterations: some completions of some prompts, to `rollouts.jsonl` and as TensorBoard text."""

    def __init__(self, every: int, groups: int, completions: int) -> None:
        check_at_least_one(every=every, groups=groups, completions=completions)
        self.every, self.groups, self.completions = every, groups, completions

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        if report.iteration % self.every and not report.is_last and report.iteration != 1:
            return
        samples = [sample for _, sample in sorted(chain(*ranks.gather(self._samples(report))), key=itemgetter(0))]
        if trainer.is_global_zero:
            run_folder.append(Path(trainer.default_root_dir) / run_folder.ROLLOUTS, samples)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    for step, text_of in texts(samples):
                        for tag, text in text_of.items():
                            logger.experiment.add_text(tag, text, step)

    def _samples(self, report: StepReport) -> list[tuple[tuple[int, int], dict[str, Any]]]:
        """(place of the prompt, number of the completion) and record of this rank's part of what is shown."""
        return [
            ((place, number), _record(report.iteration, scored, number))
            for place, scored in report.groups.items()
            if place < self.groups
            for number in range(min(self.completions, len(scored.scores)))
        ]


def _record(iteration: int, scored: ScoredGroup, number: int) -> dict[str, Any]:
    prompt, completion, score = scored.group.prompt, scored.group.completions[number], scored.scores[number]
    return {
        "iteration": iteration,
        "prompt": prompt.id,
        "problem": prompt.problem.text,
        "answer": prompt.problem.answer,
        "completion": completion.text,
        "reward": score.value,
        "correct": score.correct,
        "finished": completion.finished,
        "parts": dict(score.parts),
    }

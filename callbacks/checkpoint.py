"""Resumable checkpoints on a schedule, and which of them is the best."""

import difflib
import math
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint as CalledLast

from rsgrpo import checkpoints, run_folder
from rsgrpo.checkpoints import saving
from rsgrpo.distributed import ranks
from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_at_least_one
from rsgrpo.training.module import RLModule

MODES = ("max", "min")

OF_TEST = "eval/test/"

OF_EVALUATION = "eval/"
"""How the metrics begin that a validation logs, after the iteration's own."""


OF_UPDATES = (
    *(f"train/{name}" for name in ("entropy", "loss", "grad_norm", "clip_fraction", "learning_rate", "loss_tokens")),
    *(f"train/{name}{of}" for name in ("beta", "k") for of in ("", "_min", "_max")),
    *("train/logprob_gap", "time/trained_tokens_per_s"),
)
"""Metrics that a run lacks in which nothing was trained."""


class Checkpoint(CalledLast):
    """Every `every` iterations, and at the last one, writes `checkpoints/iteration_NNNNNN`; keeps the newest `keep`.

    With `best=<metric>` the checkpoint with the highest (`best_mode=max`) or lowest (`min`) value of that metric is
    kept too, named by `checkpoints/best.json`. A metric of validation adds a checkpoint at each iteration after which
    a validation follows. Of equal values the first counts.

    Lightning calls callbacks of this kind after all others, so that whatever an iteration logs is there.

    Raises:
        FieldError: when `every` or `keep` is below 1, or `best_mode` is neither max nor min.
        UserError: when nothing logs the metric `best`, or the disk refuses a checkpoint.
    """

    def __init__(self, every: int, keep: int, best: str | None = None, best_mode: str = "max") -> None:
        check_at_least_one(every=every, keep=keep)
        if best is not None and (not isinstance(best, str) or not best):
            raise FieldError("best", best, "must be the name of a metric", "try best=train/reward_mean")
        if best is not None and best.startswith(OF_TEST):
            cure = f"choose by validation: try best={best.replace(OF_TEST, 'eval/validation/', 1)}"
            raise FieldError(
                "best", best, "would choose a checkpoint by the test split, which is there to judge it", cure
            )
        if best_mode not in MODES:
            raise FieldError("best_mode", best_mode, f"must be one of {', '.join(MODES)}", "try best_mode=max")
        self.every, self.keep, self.best, self.best_mode = every, keep, best, best_mode
        self._counted: dict[str, Any] | None = None
        self._seen = False

    @property
    def _from_evaluation(self) -> bool:
        return self.best is not None and self.best.startswith(OF_EVALUATION)

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        if self._from_evaluation and not trainer.limit_val_batches:
            raise UserError(
                f"callbacks.checkpoint.best={self.best} comes from a validation, and this run validates on nothing; "
                "set eval.validation_prompts, or choose a metric of training: try "
                "callbacks.checkpoint.best=train/reward_mean"
            )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        self._counted = saving.loops(trainer)
        run = Path(trainer.default_root_dir)
        validates = self._from_evaluation and report.iteration % pl_module.recipe.evaluation.every == 0
        saves = report.iteration % self.every == 0 or report.is_last or validates
        if saves:
            pl_module.write_metrics()  # a run that is killed after the checkpoint does not repeat this iteration
            saving.save(trainer, run, report.iteration, keep=self.keep)
        # An iteration that trained nothing lacks some metrics.
        if self.best is not None and not self._from_evaluation:
            may_lack = not report.updates and (not report.is_last or self.best in OF_UPDATES)
            self._compare(pl_module, run, report.iteration, may_lack=may_lack, mark=saves)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        """A run that was killed after a checkpoint still owes the mark of the best one, and old ones their removal."""
        if ranks.is_first() and pl_module.iteration:
            run = Path(trainer.default_root_dir)
            if self.best is not None:
                for record in run_folder.read(run / run_folder.METRICS):
                    self._mark_if_best(run, record["iteration"], record.get(self.best))
            checkpoints.prune(run, self.keep)

    def save_on_failure(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        """Save the iterations that were finished before an engine or a reward failed; every rank has to call it."""
        run = Path(trainer.default_root_dir)
        if not any(ranks.gather(run_folder.checkpoint(run, pl_module.iteration).is_dir())):
            saving.save(trainer, run, pl_module.iteration, keep=self.keep, counted=self._counted)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        """Only mark: Lightning would resume a checkpoint that is written here one validation late."""
        plan = pl_module.recipe.evaluation
        if self._from_evaluation and plan.is_due("validation", pl_module.iteration, pl_module.recipe.iterations):
            self._compare(pl_module, Path(trainer.default_root_dir), pl_module.iteration, mark=True)

    def _compare(self, module: RLModule, run: Path, iteration: int, *, mark: bool, may_lack: bool = False) -> None:
        """Record the checkpoint of `iteration` as the best one if it is.

        Raises:
            UserError: on every rank, when rank 0 has never seen the metric.
        """
        assert self.best is not None
        logged = module.metrics
        self._seen = self._seen or self.best in logged
        unknown = not self._seen and not may_lack
        problem = self._unknown_metric(sorted(logged)) if unknown else None
        problem = ranks.gather(problem)[0]
        if problem is not None:
            raise UserError(problem)
        seen = ranks.is_first() and mark and self.best in logged
        if seen and self._mark_if_best(run, iteration, logged[self.best]):
            checkpoints.prune(run, self.keep)
        ranks.barrier()

    def _mark_if_best(self, run: Path, iteration: int, value: float | None) -> bool:
        """Record the checkpoint of `iteration`, if there is one, as the best one if its value is."""
        assert self.best is not None
        if value is None or not run_folder.checkpoint(run, iteration).is_dir() or not self._is_better(value, run):
            return False
        checkpoints.mark_best(run, iteration, self.best, value)
        return True

    def _is_better(self, value: float, run: Path) -> bool:
        before = run_folder.best(run)
        if not math.isfinite(value) or before is None or before["metric"] != self.best:
            return math.isfinite(value)
        return value > before["value"] if self.best_mode == "max" else value < before["value"]

    def _unknown_metric(self, known: list[str]) -> str:
        near = difflib.get_close_matches(str(self.best), known, n=3) or known
        return (
            f"callbacks.checkpoint.best={self.best}: no such metric was logged; choose one that is, such as "
            f"{', '.join(near) or 'train/reward_mean, with the callback that logs it before callbacks.checkpoint'}"
        )

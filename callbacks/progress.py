"""One line that says how the run is doing."""

import time
from typing import Any, cast

import lightning
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from rsgrpo.distributed import ranks
from rsgrpo.fields import check_at_least_one
from rsgrpo.metrics.rollouts import rollout_statistics
from rsgrpo.training.module import RLModule
from rsgrpo.types import StepReport

TRUNCATED = 0.9
"""Share of cut-off completions from which the limit is named."""


class ProgressLine(lightning.Callback):
    """Iteration, reward, cumulative solve rate, entropy and time left: live on a terminal, else a line now and then."""

    def __init__(self, every: int) -> None:
        check_at_least_one(every=every)
        self.every = every
        self.warned = False
        self.console = Console(stderr=True, quiet=not ranks.is_first())
        self.live = self.console.is_terminal and not self.console.quiet
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), console=self.console, auto_refresh=False
        )

    def on_train_start(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        self.began, self.first = time.perf_counter(), pl_module.iteration
        if self.live:
            self.bar.start()
            self.task = self.bar.add_task("starting", total=pl_module.recipe.iterations, completed=self.first)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        rollouts = rollout_statistics(report.outcomes)
        solved = pl_module.metrics.get("train/cumulative_solve_rate")
        line = self._line(report, {"reward": rollouts["reward_mean"], "solved": solved, "entropy": report.entropy})
        if self.live:
            self.bar.update(self.task, completed=report.iteration, description=line, refresh=True)
        elif report.iteration % self.every == 0 or report.is_last or report.iteration == self.first + 1:
            self.console.print(line, soft_wrap=True, highlight=False)
        if not report.updates:
            self.console.print(
                f"iteration {report.iteration}: every group was dropped, nothing to train on", soft_wrap=True
            )
        if rollouts["truncated_fraction"] >= TRUNCATED and not self.warned:
            self.warned = True
            limit = pl_module.recipe.sampling.max_new_tokens
            cure = f"sampling.max_new_tokens={limit} cuts off nearly all completions; try a larger one"
            self.console.print(cure, soft_wrap=True, highlight=False)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        if self.live:
            self.bar.stop()

    def on_exception(self, trainer: lightning.Trainer, pl_module: RLModule, exception: BaseException) -> None:
        if self.live:
            self.bar.stop()

    def on_test_start(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        batches = cast(Any, trainer.test_dataloaders)
        if any(batch.numbers is not None for batch in batches):
            return  # in blocks, which have a progress of their own
        which = "base policy" if pl_module.iteration == 0 else f"policy of iteration {pl_module.iteration}"
        prompts = [prompt for batch in batches for prompt in batch.prompts]
        plan = pl_module.recipe.evaluation
        drawn = [plan.completions_for("test", prompt.problem.facts.get("dataset")) for prompt in prompts]
        each = f"{min(drawn):,}" if len(set(drawn)) == 1 else f"{min(drawn):,} to {max(drawn):,}"
        self.console.print(f"test: {which}, {len(prompts):,} problems x {each} completions", soft_wrap=True)

    def _line(self, report: StepReport, metrics: dict[str, Any]) -> str:
        per_iteration = (time.perf_counter() - self.began) / (report.iteration - self.first)
        left = int(per_iteration * (report.iterations - report.iteration))
        shown = [f"{name} {float(value):.3f}" for name, value in metrics.items() if value is not None]
        return "  ".join(
            [f"iteration {report.iteration}/{report.iterations}", *shown, f"{left // 60}:{left % 60:02d} left"]
        )

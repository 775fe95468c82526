"""One line that says how the run is doing."""

import time
from collections import Counter
from typing import Any, cast

import lightning
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from rsgrpo.distributed import ranks
from rsgrpo.fields import check_at_least_one
from rsgrpo.metrics.nothing_learnt import NEARLY_ALL, kind, reason, taught_nothing
from rsgrpo.metrics.rollouts import rollout_statistics
from rsgrpo.training.module import RLModule
from rsgrpo.types import StepReport


class ProgressLine(lightning.Callback):
    """Iteration, reward, cumulative solve rate, entropy and time left: live on a terminal, else a line now and then.

    Where an iteration teaches nothing it says why, the first time of each kind, and from then on how many there were.
    """

    def __init__(self, every: int) -> None:
        check_at_least_one(every=every)
        self.every = every
        self.warned = False
        self.idle: Counter[str] = Counter()
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
        if taught_nothing(report):
            self._say_why(report, pl_module.recipe.sampling.max_new_tokens)
        if rollouts["truncated_fraction"] >= NEARLY_ALL and not self.warned:
            self.warned = True
            limit = pl_module.recipe.sampling.max_new_tokens
            cure = f"sampling.max_new_tokens={limit} cuts off nearly all completions; try a larger one"
            self.console.print(cure, soft_wrap=True, highlight=False)

    def _say_why(self, report: StepReport, limit: int) -> None:
        """Why nothing was learnt the first time, then at the tenth, the hundredth and so on that it happens again."""
        self.idle[kind(report)] += 1
        if self.idle[kind(report)] == 1:
            self._say(f"iteration {report.iteration}: {reason(report, limit=f'sampling.max_new_tokens={limit}')}")
            cut_off = rollout_statistics(report.outcomes)["truncated_fraction"]
            self.warned = self.warned or cut_off >= NEARLY_ALL  # it has been said just now
        elif (total := self.idle.total()) in (10**power for power in range(1, 9)):
            self._say(f"iteration {report.iteration}: the {total}th iteration that taught nothing")

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        if self.live:
            self.bar.stop()
        if (total := self.idle.total()) > 1:
            kinds = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.idle.most_common())
            self._say(f"{total:,} of {pl_module.iteration - self.first:,} iterations taught nothing: {kinds}")

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

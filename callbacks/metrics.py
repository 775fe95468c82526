"""The one door for metrics: functions of an iteration's report, logged under their names."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning

from rsgrpo.errors import failures_name_their_place
from rsgrpo.metrics.base import Metric, Remembers, record
from rsgrpo.training.module import RLModule
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.trial import check_hooks, copied, try_recipe
from rsgrpo.types import Prompt, StepReport

BEFORE = {"reward": "Reward", "solve_rate": "CumulativeSolveRate"}
"""Checkpoints of earlier versions keep the state of these metrics under a callback of its own."""


class StepMetrics(lightning.Callback):
    """Calls every metric on the `StepReport` of an iteration and logs what they say, before any other callback runs.

    The composition root makes it out of all entries of `callbacks` that are functions, or classes that are called.
    """

    def __init__(self, metrics: Mapping[str, Metric], *, group: str = "callbacks") -> None:
        """`group` is the key or the field that the user gave them by, for messages."""
        self.metrics, self.group = dict(metrics), group

    def attempt(self, report: StepReport) -> None:
        """Call all metrics on a report that is made up; what they remember stays as it is.

        Raises:
            UserError: naming the metric that raised or returned something else than names and numbers.
        """
        copies = {name: copied(metric) for name, metric in self.metrics.items()}
        record({name: metric for name, metric in copies.items() if metric is not None}, report, group=self.group)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.log_metrics(record(self.metrics, outputs["report"], group=self.group))

    def state_dict(self) -> dict[str, Any]:
        states = {}
        for name, metric in self.metrics.items():
            if isinstance(metric, Remembers):
                with failures_name_their_place(f"{self.group}.{name}", metric, "state_dict", like=Remembers.state_dict):
                    states[name] = metric.state_dict()
        return states

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        states = checkpoint.get("callbacks", {})
        kept = states.get(self.state_key, {name: states[key] for name, key in BEFORE.items() if key in states})
        for name, metric in self.metrics.items():
            if isinstance(metric, Remembers) and name in kept:
                like, group = Remembers.load_state_dict, f"{self.group}.{name}"
                with failures_name_their_place(group, metric, "load_state_dict", like=like):
                    metric.load_state_dict(kept[name])


def try_parts(recipe: Recipe, callbacks: Sequence[lightning.Callback], prompts: Sequence[Prompt]) -> None:
    """Try the parts of a recipe, and metrics, on a made-up iteration of the first prompts, before anything is sampled.

    Raises:
        UserError: naming the part that raised or returned what it must not.
    """
    check_hooks(callbacks)
    report = try_recipe(recipe, prompts)
    for callback in callbacks:
        if isinstance(callback, StepMetrics):
            callback.attempt(report)

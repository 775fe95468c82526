"""What a metric is, and the record that all metrics of a run make of an iteration.

A metric is a function `StepReport -> {name: number}`. One of your own needs no class and no callback:

    python run.py +callbacks.lengths._target_=my_metrics.longest_completion

A metric that remembers something from one iteration to the next is a class with `__call__`, `state_dict` and
`load_state_dict`; its state is part of the checkpoint.
"""

import numbers
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.types import StepReport

Metric = Callable[[StepReport], Mapping[str, float]]


@runtime_checkable
class Remembers(Protocol):
    """A metric whose state belongs to the checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """What it has learnt, as plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state of a checkpoint."""
        ...


class TakesReport(Protocol):
    """What a metric looks like to the one that calls it."""

    def __call__(self, report: StepReport) -> Mapping[str, float]: ...


def record(metrics: Mapping[str, Metric], report: StepReport, *, group: str = "callbacks") -> dict[str, float]:
    """What all metrics say of an iteration, under the names that are logged.

    A name without a slash is one of training: `entropy` is logged as `train/entropy`, `time/step_s` as it is. What is
    not finite is logged as it is, too. `group` is the key or the field that the metrics were given by.

    Raises:
        UserError: naming the metric that returned something else than names and numbers, or a name twice.
    """
    found: dict[str, float] = {}
    for key, metric in metrics.items():
        place = f"{group}.{key}"
        with failures_name_their_place(place, metric, "__call__", like=TakesReport.__call__):
            said: object = metric(report)
        if not isinstance(said, Mapping):
            raise UserError(f"{place} returned {type(said).__name__}; return names and numbers: {{'a': 1.0}}")
        for name, value in said.items():
            logged = name if "/" in str(name) else f"train/{name}"
            if logged in found:
                raise UserError(f"{place} returned {name!r}, which another metric logs already; rename it")
            found[logged] = _number(place, name, value)
    return found


def _number(place: str, name: object, value: object) -> float:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        value = value.item()
    if not isinstance(name, str) or not name or not isinstance(value, numbers.Real):
        raise UserError(f"{place} returned {name!r}: {value!r}; return a number under each name")
    return float(value)

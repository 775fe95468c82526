"""The learning rate of each update: the schedules of transformers under their own names, over the updates of a run.

A schedule is a factor of `lr` for each optimiser step. The library gives step 0 the factor 0 and reaches the end of its
decay at the last step; here update u = 0, 1, ... of U gets the library's factor at u + 1 of U + 1 steps, so that the
first and the last update train too. With a warm-up of W updates, update u < W has the factor (u + 1) / W.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import get_scheduler
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import SchedulerType

from rsgrpo.errors import FieldError
from rsgrpo.fields import as_typed

Name = Literal[
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "polynomial",
    "inverse_sqrt",
    "warmup_stable_decay",
]
"""`constant` has the warm-up too. The library's other two follow a metric, which no update has."""

LEVEL = ("constant", "constant_with_warmup")

SET_HERE = ("optimizer", "num_warmup_steps", "num_training_steps", "num_stable_steps", "last_epoch")
"""What the library's functions take and a run says itself."""

NEEDS = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
}
"""Schedules that do nothing without one of these arguments."""

EXAMPLES = {"min_lr": 1e-7, "min_lr_rate": 0.1, "num_decay_steps": 10}

ARGS = "lr_schedule_args"

Factor = Callable[[int], float]
"""Update, counted from 0 -> what `lr` is multiplied by."""


def check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that a schedule does not take, and one that lacks what it needs.

    Raises:
        FieldError: naming the argument.
    """
    takes = [n for n in inspect.signature(_function(name)).parameters if n not in SET_HERE and n != "kwargs"]
    for given, value in arguments.items():
        if given not in takes:
            known = f"takes {', '.join(takes)}" if takes else "takes no arguments"
            raise FieldError(
                f"{ARGS}.{given}", as_typed(value), f"cannot be used: lr_schedule={name} {known}", "leave it out"
            )
    needs = NEEDS.get(name, ())
    if needs and not any(arguments.get(need) is not None for need in needs):
        raise FieldError(
            ARGS,
            as_typed(dict(arguments)),
            f"lacks {' or '.join(needs)}, which lr_schedule={name} needs",
            f"add {ARGS}.{needs[-1]}={EXAMPLES[needs[-1]]}",
        )


def factor_of(name: str, arguments: Mapping[str, Any], *, lr: float, warmup: int, updates: int) -> Factor:
    """The factor of each of `updates` updates.

    Raises:
        FieldError: for arguments that the library refuses, and for a run that is too short for its warm-up and decay.
    """
    if name in LEVEL:
        return lambda update: min(1.0, (update + 1) / max(1, warmup))
    decay = arguments.get("num_decay_steps") or 0
    if warmup + decay > updates:
        too_long = f"and a decay of {decay} updates are" if decay else "is"
        raise FieldError(
            "warmup_steps",
            warmup,
            f"{too_long} longer than the run, which has {updates} updates in all",
            f"try warmup_steps={updates // 10}" + (f" {ARGS}.num_decay_steps={updates // 5}" if decay else ""),
            warmup_steps="optimizer",
            lr_schedule_args="optimizer",
        )
    nothing = torch.optim.SGD([torch.zeros(1)], lr=lr)
    try:
        made: Any = get_scheduler(name, nothing, warmup, updates + 1, dict(arguments))
        of_step: Factor = made.lr_lambdas[0]
        factors = [float(of_step(update + 1)) for update in range(updates)]
    except (ValueError, TypeError, ArithmeticError) as error:
        raise _refused(name, arguments, str(error)) from error
    wrong = next((u for u, factor in enumerate(factors) if not math.isfinite(factor) or factor < 0), None)
    if wrong is not None:
        raise _refused(name, arguments, f"update {wrong + 1} would have {factors[wrong]:g} times lr")
    return lambda update: float(of_step(update + 1))


def _refused(name: str, arguments: Mapping[str, Any], why: str) -> FieldError:
    return FieldError(
        ARGS,
        as_typed(dict(arguments)),
        f"does not suit lr_schedule={name}: {why}",
        "correct it, or leave it out",
        lr_schedule="optimizer",
        lr_schedule_args="optimizer",
    )


def take_up(schedule: LRScheduler) -> None:
    """Set the learning rate of the next update to what the schedule says now.

    A checkpoint holds the rate that was due when it was saved; a run that has been extended since has another one.
    """
    if isinstance(schedule, LambdaLR):
        groups = zip(schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
        for group, base, factor in groups:
            group["lr"] = base * factor(schedule.last_epoch)


def _function(name: str) -> Callable[..., Any]:
    return TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]

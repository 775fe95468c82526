"""AdamW, its warm-up and the schedule of its learning rate."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from rsgrpo.fields import check_fields, check_numbers, example
from rsgrpo.training.learning_rate import Name, check_arguments, factor_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW:
    """Settings of `torch.optim.AdamW`, of its warm-up and of gradient clipping.

    Raises:
        FieldError: for a value outside its range.
    """

    lr: float = example(1e-6)
    betas: Sequence[float] = (0.9, 0.95)
    weight_decay: float = 0.0
    warmup_steps: int = 0
    """Optimiser steps over which the learning rate rises linearly to `lr`."""
    lr_schedule: Name = "constant"
    """What the learning rate does after the warm-up, by the names of transformers; see `training.learning_rate`."""
    lr_schedule_args: Mapping[str, Any] = field(default_factory=dict)
    """What else the schedule takes there: `{"min_lr_rate": 0.1}`."""
    grad_clip: float = 1.0
    """Largest global l2 norm of the gradient."""
    max_bad_updates: int = 3
    """The run ends at so many updates in a row whose loss or gradient is not finite; fewer are skipped."""

    def __post_init__(self) -> None:
        check_numbers("betas", self.betas, 2, "[0, 1)", example=[0.9, 0.95])
        check_fields(
            self,
            lr=(0, math.inf),
            weight_decay=(0, math.inf),
            warmup_steps=(0, math.inf),
            grad_clip=(1e-12, math.inf),
            max_bad_updates=(1, math.inf),
        )
        check_arguments(self.lr_schedule, self.lr_schedule_args)

    def factor(self, updates: int) -> Callable[[int], float]:
        """What `lr` is multiplied by at each of the `updates` updates of a run, counted from 0.

        Raises:
            FieldError: for a run that is too short for its schedule, and for arguments that the schedule refuses.
        """
        return factor_of(self.lr_schedule, self.lr_schedule_args, lr=self.lr, warmup=self.warmup_steps, updates=updates)

    def build(
        self, parameters: Iterable[nn.Parameter], *, updates: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """The optimiser and its learning-rate schedule, to be stepped once per update, of which there are `updates`.

        Frozen parameters belong among `parameters`: without a gradient they are left alone and have no moments, but
        a checkpoint that goes from one process to several numbers the parameters of the whole model.
        """
        betas = (float(self.betas[0]), float(self.betas[1]))
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, betas=betas, weight_decay=self.weight_decay)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, self.factor(updates))

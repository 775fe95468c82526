"""The optimisers, AdamW with moments of 32 or 8 bits: clipping, warm-up and the schedule of the learning rate."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from rsgrpo.fields import check_fields, check_numbers, example
from rsgrpo.training.adamw8bit import QuantisedAdamW, state_bytes
from rsgrpo.training.learning_rate import Name, check_arguments, factor_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer(ABC):
    """What every optimiser is told: Adam's settings, its warm-up and schedule, and gradient clipping.

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
        optimizer = self.over(list(parameters))
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, self.factor(updates))

    @abstractmethod
    def over(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """PyTorch's optimiser of these parameters."""

    @abstractmethod
    def state_bytes(self, parameter: nn.Parameter) -> int:
        """Bytes of both moments of a whole parameter."""

    @property
    def adam(self) -> dict[str, Any]:
        """The arguments that every Adam takes."""
        betas = (float(self.betas[0]), float(self.betas[1]))
        return {"lr": float(self.lr), "betas": betas, "weight_decay": float(self.weight_decay)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW(Optimizer):
    """`torch.optim.AdamW` (https://arxiv.org/abs/1711.05101): two moments of 4 bytes for each parameter."""

    fused: bool | Literal["auto"] = "auto"
    """Whether one kernel updates all tensors, without temporary copies of them; auto: on a GPU."""

    def over(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        fused = any(p.is_cuda for p in parameters) if self.fused == "auto" else self.fused
        return torch.optim.AdamW(parameters, **self.adam, fused=fused)

    def state_bytes(self, parameter: nn.Parameter) -> int:
        return 2 * parameter.numel() * parameter.element_size()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW8bit(Optimizer):
    """AdamW with moments of one byte each (https://arxiv.org/abs/2110.02861); see `training.adamw8bit`."""

    def over(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return QuantisedAdamW(parameters, **self.adam)

    def state_bytes(self, parameter: nn.Parameter) -> int:
        return state_bytes(parameter.shape)

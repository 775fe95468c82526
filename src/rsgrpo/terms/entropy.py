"""Entropy in the loss: a bonus with a fixed coefficient, or one that is steered towards a target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields, example
from rsgrpo.losses.base import LossOutput
from rsgrpo.terms.base import Term
from rsgrpo.types import PackedRow, StepReport, TokenStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyBonus(Term):
    """loss_t - coefficient x H_t, with H_t the entropy of the policy before token t, in nats, at the sampling
    temperature. A negative coefficient is a penalty.

    See "Function Optimization Using Connectionist Reinforcement Learning Algorithms" (Williams and Peng, 1991).

    Raises:
        FieldError: for a coefficient that is no number.
    """

    entropy_gradient: ClassVar[bool] = True

    coefficient: float = 1e-3

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, tokens: TokenStatistics, row: PackedRow) -> LossOutput:
        """Minus the bonus of each token; the entropy itself is logged of every run."""
        return LossOutput(per_token=-self.coefficient * tokens.entropy)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyTarget(Term):
    """An entropy bonus whose coefficient rises while the entropy is below `target`, and falls while it is above.

    After each iteration, with H its mean entropy per trained token:
    coefficient <- clip(coefficient + step x (target - H), 0, most).

    In the manner of "Skywork Open Reasoner 1" (He et al., 2025), Section 4, whose coefficient moves by a fixed step.

    Raises:
        FieldError: for a value outside its range, or a first coefficient above `most`.
    """

    entropy_gradient: ClassVar[bool] = True

    target: float = example(0.2)
    """Nats per token."""
    coefficient: float = 0.0
    """The first one."""
    step: float = 0.005
    """By how much a nat below the target raises the coefficient, per iteration."""
    most: float = 0.05
    """The largest coefficient."""
    _now: list[float] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bounds = (0.0, math.inf)
        check_fields(self, target=bounds, coefficient=bounds, step=bounds, most=bounds)
        if self.coefficient > self.most:
            raise FieldError("coefficient", self.coefficient, f"is above most={self.most:g}", "lower it, or raise most")
        self._now.append(self.coefficient)

    @property
    def in_force(self) -> float:
        """The coefficient of the present iteration."""
        return self._now[0]

    def __call__(self, tokens: TokenStatistics, row: PackedRow) -> LossOutput:
        """Minus the bonus of each token, and `entropy_coefficient`."""
        return LossOutput(
            per_token=-self.in_force * tokens.entropy,
            diagnostics={"entropy_coefficient": torch.full_like(tokens.entropy.detach(), self.in_force)},
        )

    def observe(self, report: StepReport) -> None:
        """Steer; an iteration that trained nothing has no entropy and changes nothing."""
        if report.entropy is not None and math.isfinite(report.entropy):
            moved = self.in_force + self.step * (self.target - report.entropy)
            self._now[0] = min(max(moved, 0.0), self.most)

    def state_dict(self) -> dict[str, Any]:
        return {"coefficient": self.in_force}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._now[0] = float(state["coefficient"])

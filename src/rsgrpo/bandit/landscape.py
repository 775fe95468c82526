"""Rewards of the arms, and the policy that the bandit starts from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields


@runtime_checkable
class Landscape(Protocol):
    """K arms: what each pays on average, how noisily, and the logits of the first policy."""

    noise: float
    """Standard deviation of a pull around the arm's mean reward."""

    def rewards(self) -> Float[Tensor, " K"]: ...

    def logits(self) -> Float[Tensor, " K"]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """Bumps on a floor, and a policy that sits on one of them: the paper's landscape with its defaults.

    reward(a) = floor + sum_(position, height) height exp(-(a - position)^2 / (2 width^2)). The first policy is
    proportional to exp(-(a - start)^2 / (2 width^2)) + start_floor, its logits log(pi + 1e-8) less their mean. The
    numbers are those of the released code: a global optimum of 1 at arm 40, a local one of .6 at 75, where the policy
    starts.

    Raises:
        FieldError: for peaks that are no pairs, or values outside their range.
    """

    arms: int = 100
    peaks: Sequence[Sequence[float]] = ((40, 0.9), (75, 0.5))
    """(position, height) of each."""
    width: float = 5.0
    floor: float = 0.1
    start: float = 75.0
    start_floor: float = 0.1
    noise: float = 0.0

    def __post_init__(self) -> None:
        bounds = dict.fromkeys(("width", "start_floor"), (1e-6, math.inf))
        check_fields(self, arms=(2, 2**20), noise=(0.0, math.inf), **bounds)
        check_fields(self, start=(0, self.arms - 1))
        peaks = list(self.peaks) if isinstance(self.peaks, Sequence) else []
        if not peaks or any(not isinstance(peak, Sequence) or len(peak) != 2 for peak in peaks):
            raise FieldError(
                "peaks", self.peaks, "must be pairs of position and height", "try peaks=[[40,0.9],[75,0.5]]"
            )

    def rewards(self) -> Float[Tensor, " K"]:
        """Mean reward of each arm."""
        return self.floor + sum((height * self._bump(position) for position, height in self.peaks), torch.zeros(()))

    def logits(self) -> Float[Tensor, " K"]:
        """Logits of the first policy."""
        policy = self._bump(self.start) + self.start_floor
        logits = (policy / policy.sum() + 1e-8).log()
        return logits - logits.mean()

    def _bump(self, position: float) -> Float[Tensor, " K"]:
        arms = torch.arange(self.arms, dtype=torch.float64)
        return (-((arms - position) ** 2) / (2 * self.width**2)).exp()


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoArms:
    """A right arm, which pays 1, and a wrong one, which pays 0: a prompt as the audit sees it.

    Raises:
        FieldError: for a value outside its range.
    """

    start: float = 0.05
    """Accuracy of the first policy: what it gives the right arm."""
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, start=(1e-4, 1 - 1e-4), noise=(0.0, math.inf))

    def rewards(self) -> Float[Tensor, " K"]:
        """0 and 1."""
        return torch.tensor([0.0, 1.0], dtype=torch.float64)

    def logits(self) -> Float[Tensor, " K"]:
        """Half of the log-odds each way."""
        odds = torch.tensor([1 - self.start, self.start], dtype=torch.float64).log()
        return odds - odds.mean()

"""NGRPO: GRPO with one more completion, imagined, that earns the highest reward."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import UserError
from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import DEFINED_FOR, AdvantageContext, Objective
from rsgrpo.objectives.claims import expected_reward
from rsgrpo.objectives.grpo import std_normalized

ROUNDING = 1e-6
"""By which a reward may be above the highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NGRPO(Objective):
    """A_i = (r_i - mean) / (std + eps), mean and standard deviation taken over the rewards and `best`.

    See "NGRPO: Negative-enhanced Group Relative Policy Optimization" (arXiv 2509.18851) and its released code. A group
    that is all wrong gets -1 / sqrt(N + 1) each (at rewards of 0 and 1, ddof = 1), one that is all right 0. Not
    centred, and not the gradient of a fixed objective: how far the mean is moved depends on the group.

    Raises:
        FieldError: for a ddof other than 0 or 1, or a negative eps.
        UserError: for a reward above `best`.
    """

    best: float = 1.0
    """The highest reward that there is."""
    ddof: int = 1
    eps: float = 0.0
    """1e-6 in the released code."""

    def __post_init__(self) -> None:
        check_fields(self, ddof=(0, 1), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        if (rewards > self.best + ROUNDING * max(1.0, abs(self.best))).any():
            raise UserError(
                f"objective ngrpo {DEFINED_FOR} rewards of at most best={self.best:g} and got "
                f"{rewards.max().item():g}; change the reward, or use the highest that it gives as best, or an "
                "objective for any reward, such as objective=GRPO()",
                best="objective",
            )
        imagined = torch.cat([rewards, torch.full_like(rewards[:, :1], self.best)], dim=1)
        return std_normalized(imagined, ddof=self.ddof, eps=self.eps)[:, :-1]

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)

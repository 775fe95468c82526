"""GRPO: the group's mean reward is the baseline, its standard deviation optionally the scale."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions, differ, divide
from rsgrpo.objectives.claims import expected_reward


def mean_baseline(rewards: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
    """A_i = r_i - mean_j r_j.

    See "Risk-Sensitive RL for Alleviating Exploration Dilemmas in Large Language Models", Eq. 3 and footnote 1. In
    expectation (N-1)/N times the gradient of E[r]: the right direction, a slightly smaller scale.

    >>> mean_baseline(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    tensor([[ 0.7500, -0.2500, -0.2500, -0.2500]])
    """
    # Counted from the first reward: what all have in common costs no digits, and equal rewards get exactly 0.
    shifted = rewards - rewards[:, :1]
    return shifted - shifted.mean(dim=1, keepdim=True)


def std_normalized(rewards: Float[Tensor, "P N"], *, ddof: int = 1, eps: float = 0.0) -> Float[Tensor, "P N"]:
    """A_i = (r_i - mean_j r_j) / (std_j r_j + eps), the variance being divided by N - ddof; 0 for equal rewards.

    Rewards that differ by rounding alone, such as .1 + .2 and .3, count as equal: see `differ`.

    See "DeepSeekMath" (Shao et al., 2024), section 4.1.2. Not the gradient of E[r]: as N grows it weighs a prompt of
    accuracy p by 1 / sqrt(p (1 - p)), which ascends 2 arcsin(sqrt(p)).

    >>> std_normalized(torch.tensor([[3.0, 1.0, 1.0, 3.0]]), ddof=0)
    tensor([[ 1., -1., -1.,  1.]])
    """
    centred = mean_baseline(rewards.double())  # the squares of large rewards overflow in float32
    variance = centred.square().sum(dim=1, keepdim=True) / (rewards.shape[1] - ddof)
    return torch.where(differ(rewards), divide(centred, variance.sqrt(), eps), 0.0).to(rewards.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPO(Objective):
    """Maximises E[r]. `normalize_std=true` is the original GRPO, false the paper's (and Dr. GRPO's) advantage.

    Raises:
        FieldError: for a ddof other than 0 or 1, or a negative eps.
    """

    normalize_std: bool = False
    ddof: int = 1
    """1: the unbiased variance (verl, TRL); 0: that of the group itself. Used with `normalize_std` only."""
    eps: float = 0.0
    """Added to the standard deviation; 1e-6 in verl, 1e-4 in TRL."""

    def __post_init__(self) -> None:
        check_fields(self, ddof=(0, 1), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="grpo")
        return std_normalized(rewards, ddof=self.ddof, eps=self.eps) if self.normalize_std else mean_baseline(rewards)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)

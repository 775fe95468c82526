"""GRPO: the group's mean reward is the baseline."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.types import check_fields

STD_EPSILON = 1e-6


def mean_baseline(rewards: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
    """A_i = r_i - mean_j r_j.

    See "Risk-Sensitive RL for Alleviating Exploration Dilemmas in Large Language Models", Eq. 3 and footnote 1. In
    expectation (N-1)/N times the gradient of E[r]: the right direction, a slightly smaller scale.

    >>> import torch
    >>> mean_baseline(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    tensor([[ 0.7500, -0.2500, -0.2500, -0.2500]])
    """
    return rewards - rewards.mean(dim=1, keepdim=True)


def std_normalized(rewards: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
    """A_i = (r_i - mean_j r_j) / (std_j r_j + 1e-6), with the unbiased (N-1) standard deviation.

    See "DeepSeekMath" (Shao et al., 2024), Eq. 21, as verl computes it. Not the gradient of E[r]: as N grows it weighs
    a prompt of accuracy p by 1 / sqrt(p (1 - p)).
    """
    # Counted from the first reward, a group of equal rewards has a deviation of exactly 0, not a rounding error that
    # would be divided by another one.
    shifted = rewards - rewards[:, :1]
    return mean_baseline(shifted) / (shifted.std(dim=1, keepdim=True) + STD_EPSILON)


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPO(Objective):
    """Maximises E[r]. `normalize_std=true` is the original GRPO, false the paper's (and Dr. GRPO's) advantage."""

    normalize_std: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        return std_normalized(rewards) if self.normalize_std else mean_baseline(rewards)

"""MaxRL: the mean baseline divided by the mean, a truncated maximum likelihood."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions, check_rewards, divide
from rsgrpo.objectives.claims import expected_reward
from rsgrpo.objectives.grpo import mean_baseline


def mean_normalized(rewards: Float[Tensor, "P N"], *, eps: float = 0.0) -> Float[Tensor, "P N"]:
    """A_i = (r_i - mean_j r_j) / (mean_j r_j + eps), and 0 when all rewards are 0.

    >>> import torch
    >>> mean_normalized(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    tensor([[ 3., -1., -1., -1.]])
    """
    return divide(mean_baseline(rewards), rewards.mean(dim=1, keepdim=True), eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxRL(Objective):
    """Maximises sum_(k=1)^(N-1) pass@k / k, the first terms of log p: exactly unbiased for rewards of 0 and 1.

    See "MaxRL" (arXiv 2602.02710) and its released code. RS-GRPO at large beta is this divided by beta.

    Raises:
        FieldError: for a negative eps.
        UserError: for negative rewards, whose mean is not a scale.
    """

    eps: float = 0.0
    """Added to the mean; 1e-6 in the released code."""

    def __post_init__(self) -> None:
        check_fields(self, eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="maxrl")
        check_rewards(rewards, "non-negative", name="maxrl", instead="RSGRPO()")
        return mean_normalized(rewards, eps=self.eps)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        failure = 1 - expected_reward(policy, rewards)
        return sum(((1 - failure**k) / k for k in range(2, completions)), 1 - failure)

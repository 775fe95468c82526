"""Mahdavi et al.: an ordinary advantage times the pass@k weight of its prompt."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptInt, check_completions, check_k, check_rewards
from rsgrpo.objectives.claims import expected_max
from rsgrpo.objectives.grpo import mean_baseline, std_normalized
from rsgrpo.objectives.subset_max import gain


def failure_weight(rewards: Float[Tensor, "P N"], k: PromptInt) -> Float[Tensor, "P 1"]:
    """k (1 - c/N)^(k-1), c of N completions correct: the derivative of pass@k = 1 - (1-p)^k at the group's accuracy.

    >>> import torch
    >>> failure_weight(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 2)
    tensor([[1.5000]])
    """
    return k * (1 - rewards).mean(dim=1, keepdim=True) ** (k - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mahdavi(Objective):
    """Maximises pass@k by A_i = k (1 - c/N)^(k-1) (r_i - c/N): "Beyond Accuracy: A Policy Gradient Reweighting Approach
    for Pass@K Maximization in LLMs" (Mahdavi et al., 2025), Eq. 9 of the paper.

    Biased, unless `estimator=unbiased`: the accuracy in the weight is that of the very completions it weighs.

    Raises:
        FieldError: for k < 1, and with `estimator=unbiased` for k > N.
        UserError: for rewards other than 0 and 1, where 1 - c/N would be no failure rate.
    """

    k: PromptInt = 4
    estimator: Literal["plain", "grpo", "unbiased"] = "plain"
    """`plain` as above; `grpo` is divided by the group's standard deviation; `unbiased` replaces (1 - c/N)^(k-1) by the
    share of (k-1)-subsets of the others that fail, and the baseline by none."""
    eps: float = 0.0
    """Added to the standard deviation of `estimator=grpo`."""

    def __post_init__(self) -> None:
        check_fields(self, k=(1, math.inf), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_rewards(rewards, "binary", name="mahdavi", instead="MaxPO()")
        if self.estimator == "unbiased":
            check_completions(rewards, name="mahdavi (estimator=unbiased)")
            check_k(self.k, rewards.shape[1], name="mahdavi (estimator=unbiased)", at_most=rewards.shape[1])
            return (self.k * gain(rewards, self.k)).to(rewards.dtype)
        plain = self.estimator == "plain"
        return failure_weight(rewards, self.k) * (
            mean_baseline(rewards) if plain else std_normalized(rewards, ddof=0, eps=self.eps)
        )

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_max(policy, rewards, int(self.k))

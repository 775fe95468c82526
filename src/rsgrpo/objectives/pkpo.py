"""PKPO of Walder and Karkhanis: unbiased gradients of pass@k and max@k for any k <= N."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptInt, check_completions, check_k
from rsgrpo.objectives.claims import expected_max
from rsgrpo.objectives.subset_max import gain, shortfall


def subset_sum(rewards: Float[Tensor, "P N"], k: PromptInt) -> Float[Tensor, "P N"]:
    """A_i = N s_i = k m_i, m_i the mean over the k-subsets that hold i of their maximum. In float64.

    See "Pass@K Policy Optimization" (Walder and Karkhanis, 2025), whose s_i is meant for a sum over completions.

    >>> import torch
    >>> subset_sum(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 2)[0] / 4  # s, as published
    tensor([0.5000, 0.1667, 0.1667, 0.1667], dtype=torch.float64)
    """
    return k * (rewards.double().amax(dim=1, keepdim=True) - shortfall(rewards, k))


def leave_one_out(rewards: Float[Tensor, "P N"], k: PromptInt) -> Float[Tensor, "P N"]:
    """A_i = N s_loo_i = k m_i - N/(N-1) k rho_(-i), rho_(-i) the max@k estimate of the others. In float64; k < N.

    See "Pass@K Policy Optimization" (Walder and Karkhanis, 2025). Every k-subset either holds i or does not, so
    rho_(-i) = (N rho - k m_i) / (N - k): no estimate has to be computed anew. Not centred: sum_i A_i = -N k rho/(N-1).

    >>> import torch
    >>> leave_one_out(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 2)[0] / 4  # s_loo, as published
    tensor([ 0.5000, -0.2778, -0.2778, -0.2778], dtype=torch.float64)
    """
    n = rewards.shape[1]
    best, missing = rewards.double().amax(dim=1, keepdim=True), shortfall(rewards, k)
    others = best - (n * missing.mean(dim=1, keepdim=True) - k * missing) / (n - k)
    return k * ((best - missing) - n / (n - 1) * others)


@dataclass(frozen=True, slots=True, kw_only=True)
class PKPO(Objective):
    """Maximises max@k, the expected best of k rewards: pass@k for rewards of 0 and 1. Each estimator is unbiased.

    Raises:
        FieldError: for a k that groups of N cannot estimate: k <= N, and k <= N - 1 for `s_loo`.
    """

    k: PromptInt = 4
    estimator: Literal["s", "s_loo", "s_loo_minus_one"] = "s_loo_minus_one"
    """`s`: no baseline. `s_loo`: minus the others' max@k. `s_loo_minus_one`: minus the maximum of the subset without i,
    k/N times the mean over subsets of what i adds to the k - 1 others; never negative, 0 for every wrong completion. At
    k = 1, where that subset is empty, it is RLOO."""

    def __post_init__(self) -> None:
        check_fields(self, k=(1, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        n = rewards.shape[1]
        at_most = n - 1 if self.estimator == "s_loo" else n
        check_k(self.k, n, name=f"pkpo (estimator={self.estimator})", at_most=at_most)
        if self.estimator == "s_loo_minus_one":
            check_completions(rewards, name="pkpo")
            return (self.k * gain(rewards, self.k)).to(rewards.dtype)
        return (leave_one_out if self.estimator == "s_loo" else subset_sum)(rewards, self.k).to(rewards.dtype)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_max(policy, rewards, int(self.k))

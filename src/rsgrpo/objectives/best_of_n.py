"""Best-of-N of Tang et al.: what a completion adds to the best of its group."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions
from rsgrpo.objectives.claims import expected_max
from rsgrpo.objectives.subset_max import gain


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfN(Objective):
    """Maximises E[max of N]: A_i = N (max_j r_j - max_(j != i) r_j), non-zero for a unique best completion only.

    See "Optimizing Language Models for Inference Time Objectives using Reinforcement Learning" (Tang et al., 2025),
    leave-one-out, and Eq. 11 of the paper. Their difference of maxima is meant for a sum over completions; N times it
    is exactly unbiased in the mean convention used here. Never negative, not centred.
    """

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="best_of_n")
        n = rewards.shape[1]
        return (n * gain(rewards, n)).to(rewards.dtype)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_max(policy, rewards, completions)

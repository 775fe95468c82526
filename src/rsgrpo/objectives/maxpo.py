"""MaxPO: max@k with a baseline that keeps it both unbiased and centred."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptInt, check_k
from rsgrpo.objectives.claims import expected_max
from rsgrpo.objectives.subset_max import centred_max


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPO(Objective):
    """Maximises max@k, pass@k for rewards of 0 and 1. Exactly unbiased and exactly centred: the one to use for max@k.

    See "MaxPO" (arXiv 2606.06080): what i adds to k - 1 others, minus the mean of what each other adds when i is left
    out of its draws too (leave-two-out). That equals A_i = k N/(N-k) (m_i - mean_j m_j), m_i the mean maximum of the
    k-subsets that hold i, which takes one sort. RLOO at k = 1.

    Raises:
        FieldError: for k > N - 1: leaving two out takes N >= k + 1.
    """

    k: PromptInt = 4

    def __post_init__(self) -> None:
        check_fields(self, k=(1, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        n = rewards.shape[1]
        check_k(self.k, n, name="maxpo", at_most=n - 1)
        return (self.k * centred_max(rewards, self.k) * n / (n - self.k)).to(rewards.dtype)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_max(policy, rewards, int(self.k))

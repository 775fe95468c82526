"""Chen et al., "Pass@k Training": how much better the k-subsets that hold a completion are than the average one."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptInt, check_k, divide
from rsgrpo.objectives.claims import expected_max
from rsgrpo.objectives.subset_max import centred_max, subset_std


@dataclass(frozen=True, slots=True, kw_only=True)
class Chen(Objective):
    """Maximises pass@k by A_i = (m_i - mean_j m_j) / (sigma + eps).

    m_i is the mean maximum of the k-subsets that hold i, and sigma the standard deviation of the maximum over all
    k-subsets. Centred; 0 for everyone when c > N - k are correct.

    See "Pass@k Training for Adaptively Balancing Exploration and Exploitation of Large Reasoning Models" (Chen et al.,
    2025), analytical form, and Eq. 10 of the paper. For rewards of 0 and 1, with rho = 1 - C(N-c, k)/C(N, k), it is
    A+ = (1 - rho)/sigma, A- = (1 - rho - C(N-c-1, k-1)/C(N-1, k-1))/sigma, sigma = sqrt(rho (1 - rho)), as published.
    The same words hold for any reward: that is the continuous form.

    Without sigma, k A_i is exactly (1 - k/N) times the gradient of max@k in expectation.

    Raises:
        FieldError: for k > N - 1, where every advantage would be 0.
    """

    k: PromptInt = 4
    normalize_std: bool = True
    eps: float = 0.0
    """Added to sigma; 1e-6 in the released code."""

    def __post_init__(self) -> None:
        check_fields(self, k=(1, math.inf), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_k(self.k, rewards.shape[1], name="chen", at_most=rewards.shape[1] - 1)
        centred = centred_max(rewards, self.k)
        if self.normalize_std:
            centred = divide(centred, subset_std(rewards, self.k), self.eps)
        return centred.to(rewards.dtype)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_max(policy, rewards, int(self.k))

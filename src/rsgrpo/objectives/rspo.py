"""RSPO of Zhang et al.: credit only for being the best of k, none for having been drawn beside it."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptInt, check_completions, check_k, check_rewards
from rsgrpo.objectives.claims import expected_max
from rsgrpo.objectives.subset_max import gain


@dataclass(frozen=True, slots=True, kw_only=True)
class RSPO(Objective):
    """Maximises pass@k or max@k by A_i = k E_S[max(r_i - max S, 0)], S the (k-1)-subsets of the others.

    See "Risk-Seeking Policy Optimization" (Zhang et al., 2025, arXiv 2508.01174). Its formula is derived here from its
    abstract: grad max@k = E[grad log pi(y) k int_(-inf)^r(y) F(t)^(k-1) dt], F the distribution of the reward, with the
    integral estimated from the others without bias. For pass@k it is A_i = k r_i C(N-1-c_(-i), k-1)/C(N-1, k-1), c_(-i)
    being the correct others. Equal to PKPO's s_loo_minus_one: never negative and not centred for k > 1, RLOO at k = 1,
    where the integral may begin anywhere.

    Raises:
        FieldError: for k > N.
        UserError: with `metric=pass_at_k` for rewards other than 0 and 1.
    """

    k: PromptInt = 4
    metric: Literal["max_at_k", "pass_at_k"] = "max_at_k"

    def __post_init__(self) -> None:
        check_fields(self, k=(1, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        if self.metric == "pass_at_k":
            check_rewards(rewards, "binary", name="rspo (metric=pass_at_k)", instead='RSPO(metric="max_at_k")')
        check_completions(rewards, name="rspo")
        check_k(self.k, rewards.shape[1], name="rspo", at_most=rewards.shape[1])
        return (self.k * gain(rewards, self.k)).to(rewards.dtype)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_max(policy, rewards, int(self.k))

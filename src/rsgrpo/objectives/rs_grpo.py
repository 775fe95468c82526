"""RS-GRPO: the risk-sensitive objective of the paper."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.grpo import mean_baseline
from rsgrpo.types import check_fields

NEGLIGIBLE_BETA = 1e-20
"""Below this the formula differs from its limit by less than float64 can tell, and float32 would underflow."""


def risk_sensitive(rewards: Float[Tensor, "P N"], beta: float) -> Float[Tensor, "P N"]:
    """A_i = (1/beta) (e_i / mean_j e_j - 1), e_i = exp(beta r_i); the mean baseline at beta = 0.

    See "Risk-Sensitive RL for Alleviating Exploration Dilemmas in Large Language Models", Eq. 8: the plug-in estimate
    of the gradient of J_beta = (1/beta) log E[exp(beta r)], which lies between the mean (beta -> 0) and the maximum
    (beta -> inf) of the reward; beta < 0 is risk-averse. Biased at finite N, like a smaller |beta|.

    Computed as e = expm1(beta r - max(beta r)), A = (e - mean e) / (beta (1 + mean e)): never overflows, and keeps its
    digits as beta -> 0, where exp(..) - 1 loses them all. Below |beta| = 1e-20 it is the mean baseline to the last bit.

    >>> import torch
    >>> risk_sensitive(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), beta=2.0)
    tensor([[ 0.9225, -0.3075, -0.3075, -0.3075]])
    """
    if abs(beta) < NEGLIGIBLE_BETA:
        return mean_baseline(rewards)
    tilted = beta * rewards
    e = (tilted - tilted.amax(dim=1, keepdim=True)).expm1()
    mean = e.mean(dim=1, keepdim=True)
    return (e - mean) / (beta * (1 + mean))


@dataclass(frozen=True, slots=True, kw_only=True)
class RSGRPO(Objective):
    """Maximises (1/beta) log E[exp(beta r)] with the paper's plug-in estimator.

    Raises:
        FieldError: when beta is not a finite number.
    """

    beta: float = 2.0
    """Risk sensitivity: any real number. The paper's setting is 2; larger explores more, and shrinks the advantages
    like 1/beta, so betas are not comparable at one learning rate under plain SGD."""

    def __post_init__(self) -> None:
        check_fields(self)

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        return risk_sensitive(rewards, self.beta)

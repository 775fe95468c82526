"""QAE: a quantile of the group's rewards is the baseline."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions, differ, divide
from rsgrpo.objectives.claims import expected_reward


def quantile_baseline(
    rewards: Float[Tensor, "P N"], quantile: float, *, ddof: int = 1, eps: float = 0.0
) -> Float[Tensor, "P N"]:
    """A_i = (r_i - Q(r)) / (std r + eps), Q the quantile, interpolated between neighbours; 0 for equal rewards.

    >>> quantile_baseline(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 0.4)
    tensor([[2., 0., 0., 0.]])
    """
    shifted = (rewards - rewards[:, :1]).double()  # what all have in common costs no digits
    ordered = shifted.sort(dim=1).values
    place = quantile * (rewards.shape[1] - 1)
    low, high = math.floor(place), math.ceil(place)
    baseline = torch.lerp(ordered[:, low, None], ordered[:, high, None], place - low)
    centred = shifted - shifted.mean(dim=1, keepdim=True)
    variance = centred.square().sum(dim=1, keepdim=True) / (rewards.shape[1] - ddof)
    normal = divide(shifted - baseline, variance.sqrt(), eps)
    return torch.where(differ(rewards), normal, 0.0).to(rewards.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class QAE(Objective):
    """GRPO whose baseline is a quantile of the rewards instead of their mean.

    See "Quantile Advantage Estimation" (arXiv 2509.22611) and its released code. For rewards of 0 and 1 the quantile is
    0 on a prompt of accuracy up to 1 - `quantile`, where only the correct completions get an advantage, and 1 above,
    where only the wrong ones do. Not centred, and not the gradient of a fixed objective.

    Raises:
        FieldError: for a quantile outside [0, 1], a ddof other than 0 or 1, or a negative eps.
    """

    quantile: float = 0.4
    ddof: int = 1
    eps: float = 0.0
    """1e-6 in the released code."""

    def __post_init__(self) -> None:
        check_fields(self, quantile=(0.0, 1.0), ddof=(0, 1), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="qae")
        return quantile_baseline(rewards, self.quantile, ddof=self.ddof, eps=self.eps)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)

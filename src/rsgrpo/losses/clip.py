"""The clipped surrogate: log-probs and advantages -> per-token loss."""

import math
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.types import PackedRow, TokenStatistics

LARGEST_LOG_RATIO = 20.0
"""Keeps exp() finite; far outside any clip."""


def clipped_surrogate(
    logprobs: Float[Tensor, " T"],
    old_logprobs: Float[Tensor, " T"],
    advantages: Float[Tensor, " T"],
    *,
    clip_low: float,
    clip_high: float,
) -> tuple[Float[Tensor, " T"], Bool[Tensor, " T"]]:
    """loss_t = -min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t), rho_t = pi(t) / pi_old(t).

    See "Proximal Policy Optimization Algorithms" (Schulman et al., 2017), Eq. 7, with the two bounds of "DAPO" (Yu et
    al., 2025), Eq. 10. With rho = 1 everywhere its gradient is REINFORCE's.

    Returns:
        the per-token loss, and where the clip cut the gradient off.
    """
    ratio = (logprobs - old_logprobs).clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp()
    unclipped = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    return -unclipped.minimum(clipped), clipped < unclipped


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLoss(Loss):
    """PPO's clipped surrogate with separate bounds, and how tokens are aggregated.

    Raises:
        FieldError: for a bound outside its range or an unknown aggregation.
    """

    clip_low: float = 0.2
    clip_high: float = 0.28
    aggregation: Aggregation = "token_mean"
    """`token_mean`, `sequence_mean` or `sequence_sum`, see `losses/aggregation.py`."""

    def __post_init__(self) -> None:
        check_fields(self, clip_low=(0.0, 1.0), clip_high=(0.0, math.inf))

    def __call__(self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
        """The surrogate of each token, and `clip_fraction`: where its gradient was cut off."""
        per_token, clipped = clipped_surrogate(
            tokens.logprobs, old_logprobs, row.advantages, clip_low=self.clip_low, clip_high=self.clip_high
        )
        return LossOutput(per_token=per_token, diagnostics={"clip_fraction": clipped})

"""CISPO: REINFORCE with a clipped importance weight, so that no token loses its gradient."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.losses.ratios import ratio_of
from rsgrpo.types import PackedRow, TokenStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class CISPOLoss(Loss):
    """loss_t = -stop_gradient(clip(rho_t, 1 - clip_low, 1 + clip_high)) A_t log pi(t), rho_t = pi(t) / pi_old(t).

    See "MiniMax-M1" (MiniMax, 2025), Eq. 4 and 5. The clip bounds the weight of a token and keeps its gradient, where
    PPO's drops it. The paper sets no lower bound (`clip_low` = 1) and tunes the upper one, whose value it does not
    give; 0.28 is DAPO's.

    Raises:
        FieldError: for a bound outside its range or an unknown aggregation.
    """

    clip_low: float = 1.0
    clip_high: float = 0.28
    aggregation: Aggregation = "token_mean"
    """`token_mean`, `sequence_mean`, `sequence_sum` or `constant_sum`, see `losses/aggregation.py`."""

    def __post_init__(self) -> None:
        check_fields(self, clip_low=(0.0, 1.0), clip_high=(0.0, math.inf))

    def __call__(self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
        """The weighted log-prob of each token, and `clip_fraction`: where its weight was clipped."""
        ratio = ratio_of((tokens.logprobs - old_logprobs).detach())
        weight = ratio.clamp(1 - self.clip_low, 1 + self.clip_high)
        return LossOutput(
            per_token=-weight * row.advantages * tokens.logprobs, diagnostics={"clip_fraction": weight != ratio}
        )

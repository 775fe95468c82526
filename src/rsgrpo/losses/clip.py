"""The clipped surrogate: log-probs and advantages -> per-token loss."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.losses.ratios import ratio_of
from rsgrpo.types import PackedRow, TokenStatistics


class Clipped(NamedTuple):
    """A surrogate, and where its gradient was cut off."""

    per_token: Float[Tensor, " T"]
    clipped: Bool[Tensor, " T"]
    dual_clipped: Bool[Tensor, " T"]


def clipped_surrogate(
    ratio: Float[Tensor, " T"],
    advantages: Float[Tensor, " T"],
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> Clipped:
    """loss_t = -min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t), rho_t = pi(t) / pi_old(t).

    See "Proximal Policy Optimization Algorithms" (Schulman et al., 2017), Eq. 7, with the two bounds of "DAPO" (Yu et
    al., 2025), Eq. 10. With rho = 1 everywhere its gradient is REINFORCE's.

    The minimum has no bound where A_t < 0 and rho_t is large. With `dual_clip` = c > 1 it has: there
    loss_t = -max(min(...), c A_t), whose gradient ends at rho_t = c ("Mastering Complex Control in MOBA Games with Deep
    Reinforcement Learning", Ye et al., 2020, Eq. 6).
    """
    unclipped = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    least = unclipped.minimum(clipped)
    if dual_clip is None:
        return Clipped(-least, clipped < unclipped, torch.zeros_like(clipped, dtype=torch.bool))
    floor = dual_clip * advantages
    bounded = (advantages < 0) & (least < floor)
    return Clipped(-torch.where(bounded, floor, least), clipped < unclipped, bounded)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLoss(Loss):
    """PPO's clipped surrogate with separate bounds, and how tokens are aggregated.

    Raises:
        FieldError: for a bound outside its range or an unknown aggregation.
    """

    clip_low: float = 0.2
    clip_high: float = 0.28
    dual_clip: float | None = None
    """Largest ratio at which a token with a negative advantage still has a gradient; None sets no bound."""
    aggregation: Aggregation = "token_mean"
    """`token_mean`, `sequence_mean`, `sequence_sum` or `constant_sum`, see `losses/aggregation.py`."""

    def __post_init__(self) -> None:
        check_fields(self, clip_low=(0.0, 1.0), clip_high=(0.0, math.inf), dual_clip=(1.0, math.inf))

    def __call__(self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
        """The surrogate of each token, and `clip_fraction`: where its gradient was cut off.

        With a dual clip `dual_clip_fraction` too: where that bound did it.
        """
        said = clipped_surrogate(
            ratio_of(tokens.logprobs - old_logprobs),
            row.advantages,
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            dual_clip=self.dual_clip,
        )
        dual = {} if self.dual_clip is None else {"dual_clip_fraction": said.dual_clipped}
        return LossOutput(per_token=said.per_token, diagnostics={"clip_fraction": said.clipped, **dual})

"""The clipped surrogate: log-probs and advantages -> per-token loss."""

import math
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.fields import check_fields
from rsgrpo.losses.aggregation import Aggregation

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
class ClipLoss:
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

    def __call__(
        self, logprobs: Float[Tensor, " T"], old_logprobs: Float[Tensor, " T"], advantages: Float[Tensor, " T"]
    ) -> tuple[Float[Tensor, " T"], Bool[Tensor, " T"]]:
        """Per-token loss and where it was clipped, both of shape T."""
        return clipped_surrogate(logprobs, old_logprobs, advantages, clip_low=self.clip_low, clip_high=self.clip_high)


def checked_loss(
    loss: ClipLoss, logprobs: Float[Tensor, " T"], old_logprobs: Float[Tensor, " T"], advantages: Float[Tensor, " T"]
) -> tuple[Float[Tensor, " T"], Bool[Tensor, " T"]]:
    """What a loss, which may be of a class of the user's own, says of each token.

    Raises:
        UserError: naming its class and what it raised, or that it returned something else.
    """
    name = type(loss).__name__
    with failures_name_their_place("loss", loss, "__call__"):
        found: object = loss(logprobs, old_logprobs, advantages)
    parts = found if isinstance(found, tuple) and len(found) == 2 else ()
    if not parts or not all(isinstance(part, Tensor) and part.shape == logprobs.shape for part in parts):
        raise UserError(
            f"loss: {name} returned no pair of tensors with a value for each token; return the loss of each token, and "
            "where it was clipped"
        )
    return parts

"""Truncated importance sampling, by token or by sequence."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.corrections.base import Correction, Weights
from rsgrpo.fields import check_fields
from rsgrpo.losses.ratios import ratio_of, sequence_sum
from rsgrpo.types import PackedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTruncate(Correction):
    """weight_t = min(rho_t, cap), rho_t = pi_old(t) / sampler(t).

    See "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training" (Yao et al., 2025). Where no ratio
    reaches the cap, the expected gradient of a token is that of the trainer's policy, given the tokens before it.

    Raises:
        FieldError: for a cap below 1.
    """

    cap: float = 2.0

    def __post_init__(self) -> None:
        check_fields(self, cap=(1.0, math.inf))

    def __call__(self, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> Weights:
        """The weights, `correction_weight`, their mean, and `correction_cut`, the share that was truncated."""
        return _truncated(ratio_of(old_logprobs - row.sampler_logprobs), self.cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceTruncate(Correction):
    """weight_t = min(rho, cap) on every token of a completion, rho = prod_t pi_old(t) / sampler(t).

    Where no ratio reaches the cap, the expected gradient is exactly that of the trainer's policy; its variance grows
    with the length of the completion.

    Raises:
        FieldError: for a cap below 1.
    """

    cap: float = 2.0

    def __post_init__(self) -> None:
        check_fields(self, cap=(1.0, math.inf))

    def __call__(self, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> Weights:
        """The weights, `correction_weight`, their mean, and `correction_cut`, the share that was truncated."""
        ratio = ratio_of(sequence_sum(old_logprobs - row.sampler_logprobs, row))
        return _truncated(ratio[row.sequence_of_target], self.cap)


def _truncated(ratio: Float[Tensor, " T"], cap: float) -> Weights:
    weights = ratio.clamp(max=cap)
    return Weights(per_token=weights, diagnostics={"correction_weight": weights, "correction_cut": ratio > cap})

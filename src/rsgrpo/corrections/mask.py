"""Importance sampling that leaves out what the two policies disagree on, by token or by sequence."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.corrections.base import Correction, Weights
from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields
from rsgrpo.losses.ratios import ratio_of, sequence_mean
from rsgrpo.types import PackedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMask(Correction):
    """weight_t = rho_t where low <= rho_t <= high, else 0; rho_t = pi_old(t) / sampler(t).

    See IcePop in "Every Step Evolves" (Ling Team, 2025), whose bounds these are.

    Raises:
        FieldError: for bounds that leave out 1.
    """

    low: float = 0.5
    high: float = 5.0

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> Weights:
        """The weights, `correction_weight`, their mean, and `correction_cut`, the share of tokens left out."""
        ratio = ratio_of(old_logprobs - row.sampler_logprobs)
        return _masked(ratio, ratio, self.low, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceMask(Correction):
    """weight_t = rho_t on the tokens of a completion whose mean ratio is between the bounds, else 0.

    The mean ratio is the geometric one, exp(mean_t log rho_t), rho_t = pi_old(t) / sampler(t): unlike the product it
    does not leave out a completion for being long.

    Raises:
        FieldError: for bounds that leave out 1.
    """

    low: float = 0.9
    high: float = 1.1

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> Weights:
        """The weights, `correction_weight`, their mean, and `correction_cut`, the share of tokens left out."""
        log_ratio = old_logprobs - row.sampler_logprobs
        judged = ratio_of(sequence_mean(log_ratio, row))[row.sequence_of_target]
        return _masked(ratio_of(log_ratio), judged, self.low, self.high)


def _check(correction: TokenMask | SequenceMask) -> None:
    check_fields(correction, low=(0.0, math.inf), high=(0.0, math.inf))
    if not correction.low <= 1 <= correction.high:
        name = "low" if correction.low > 1 else "high"
        side = "above" if name == "low" else "below"
        raise FieldError(
            name, getattr(correction, name), f"is {side} 1, the ratio of policies that agree", "try low=0.5 high=2"
        )


def _masked(ratio: Float[Tensor, " T"], judged: Float[Tensor, " T"], low: float, high: float) -> Weights:
    kept = (low <= judged) & (judged <= high)
    weights = ratio * kept
    return Weights(per_token=weights, diagnostics={"correction_weight": weights, "correction_cut": ~kept})

"""The KL divergence from the policy that training began with, the reference."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields, example
from rsgrpo.losses.base import LossOutput
from rsgrpo.losses.ratios import LARGEST_LOG_RATIO, ratio_of
from rsgrpo.terms.base import Term
from rsgrpo.types import PackedRow, TokenStatistics

Estimator = Literal["k1", "k2", "k3"]


def kl_estimate(log_ratio: Float[Tensor, " *a"], estimator: Estimator) -> Float[Tensor, " *a"]:
    """An estimate of KL(pi || reference) from one token drawn from pi, with x = log(pi / reference) of that token.

    k1 = x            unbiased, of either sign.
    k2 = x^2 / 2      biased, never negative; the expectation of its gradient is the gradient of KL(pi || reference).
    k3 = e^-x - 1 + x unbiased, never negative; the expectation of its gradient is that of KL(reference || pi).

    The expectation of k1's gradient is 0: it is for rewards, where it is exact. See "Approximating KL Divergence"
    (Schulman, 2020). `python run.py task=audit +term/kl=k3` enumerates all of this.
    """
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).square() / 2
    return ratio_of(-log_ratio) - 1 + log_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class KL(Term):
    """coefficient x an estimate of KL(pi || reference) per token, in nats, in the loss or off the reward.

    The reference is the policy that training began with, at the sampling temperature. With a coefficient of 0 the
    divergence is logged and nothing is changed.

    Raises:
        FieldError: for a value outside its range, and for k1 in the loss, which has no gradient in expectation.
    """

    needs_reference: ClassVar[bool] = True

    estimator: Literal["k1", "k2", "k3"] = example("k3")
    place: Literal["loss", "reward"] = example("loss")
    coefficient: float = 1e-3

    def __post_init__(self) -> None:
        check_fields(self, coefficient=(0.0, math.inf))
        if self.estimator == "k1" and self.place == "loss":
            raise FieldError(
                "estimator",
                "k1",
                "has a gradient of 0 in expectation in the loss: it would add noise and no pull to the reference",
                "try estimator=k2, whose gradient is that of the KL divergence, or take k1 off the reward",
            )

    def __call__(self, tokens: TokenStatistics, row: PackedRow) -> LossOutput:
        """The estimate of each token times the coefficient, and `kl`: k3 whatever the estimator, never negative."""
        assert row.reference_logprobs is not None
        log_ratio = tokens.logprobs - row.reference_logprobs
        return LossOutput(
            per_token=self.coefficient * kl_estimate(log_ratio, self.estimator),
            diagnostics={"kl": kl_estimate(log_ratio.detach(), "k3")},
        )

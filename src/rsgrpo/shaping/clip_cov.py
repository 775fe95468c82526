"""Clip-Cov: a few of the tokens that lower the entropy most get no gradient."""

import math
from dataclasses import dataclass

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields
from rsgrpo.shaping.base import Shaped, Shaping, UpdateTokens
from rsgrpo.shaping.covariance import covariances, number_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipCov(Shaping):
    """A_t = 0 for floor(share x tokens), at least one, drawn at random among those with low < Cov_t < high.

    Cov_t is that of `covariances`. See "The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models"
    (Cui et al., 2025, arXiv 2505.22617), Eq. 10 to 12 and Section 4.3, whose numbers these are. Fewer are drawn where
    the band has fewer. Tokens and means are those of the whole update, on all ranks, and log-probs those of the policy
    that was sampled from; the released code has the policy that is updated, a mini-batch at a time, and leaves out
    tokens that the loss has clipped already. The other tokens keep their weights. The band is in advantage times nats,
    so it is as far out as the objective's advantages are small.

    Raises:
        FieldError: for a value outside its range, or a band without anything in it.
    """

    share: float = 2e-4
    """Of the tokens of an update."""
    low: float = 1.0
    high: float = 5.0

    def __post_init__(self) -> None:
        check_fields(self, share=(0.0, 1.0), low=(-math.inf, math.inf), high=(-math.inf, math.inf))
        if self.low >= self.high:
            raise FieldError("low", self.low, f"is not below high={self.high:g}", f"try low={self.high - 1:g}")

    def __call__(self, tokens: UpdateTokens) -> Shaped:
        """The advantages, `covariance`, and `covariance_in_band`, the share of tokens that may be drawn."""
        cov, uniform = covariances(tokens), tokens.uniform
        band = (self.low < cov) & (cov < self.high)
        drawn = tokens.over_ranks.largest(uniform, number_of(self.share, tokens), ties=uniform, among=band)
        return Shaped(
            advantages=tokens.advantages.masked_fill(drawn, 0.0),
            diagnostics={"covariance": cov, "covariance_in_band": band},
        )

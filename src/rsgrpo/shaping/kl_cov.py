"""KL-Cov: the tokens that lower the entropy most are held to the policy that was sampled from."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.shaping.base import Shaped, Shaping, UpdateTokens
from rsgrpo.shaping.covariance import covariances, number_of
from rsgrpo.types import TokenStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class KLCov(Shaping):
    """loss_t + coefficient |log pi(t) - log pi_old(t)| for the floor(share x tokens), at least one, of largest Cov_t.

    Cov_t is that of `covariances`; of equal ones, such as those of tokens that are certain, some are drawn at random.
    See "The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models" (Cui et al., 2025, arXiv
    2505.22617), Eq. 10, 13 and 14, with the absolute difference of log-probs of the released code as the divergence,
    and the numbers of Section 4.3 (2e-4 of the tokens for 32B). Advantages stay as they are. The penalty has no
    gradient at pi = pi_old, so it changes nothing in the first update of an iteration, where both forward passes round
    alike: with one update per iteration it never does. The released code has no clip beside it; nor has
    `loss=clip loss.clip_low=1 loss.clip_high=1e6`.

    Raises:
        FieldError: for a value outside its range.
    """

    share: float = 2e-3
    """Of the tokens of an update."""
    coefficient: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, share=(0.0, 1.0), coefficient=(0.0, math.inf))

    def __call__(self, tokens: UpdateTokens) -> Shaped:
        """The advantages as they are, marks on the tokens that are held, and `covariance`."""
        cov = covariances(tokens)
        held = tokens.over_ranks.largest(cov, number_of(self.share, tokens), ties=tokens.uniform)
        return Shaped(advantages=tokens.advantages, marks=held.to(tokens.logprobs), diagnostics={"covariance": cov})

    def added_loss(
        self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], marks: Float[Tensor, " T"]
    ) -> Float[Tensor, " T"]:
        """coefficient |log pi(t) - log pi_old(t)| on the marked tokens, 0 on all others."""
        return self.coefficient * marks * (tokens.logprobs - old_logprobs).abs()

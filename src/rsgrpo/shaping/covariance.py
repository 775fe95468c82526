"""How much the update of a token lowers the entropy: its share in the covariance of advantage and log-prob."""

from jaxtyping import Float
from torch import Tensor

from rsgrpo.shaping.base import UpdateTokens


def covariances(tokens: UpdateTokens) -> Float[Tensor, " T"]:
    """Cov_t = (log pi_old(t) - mean log pi_old) (A_t - mean A), in float64; both means over the update's tokens of all
    ranks. A collective.

    See "The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models" (Cui et al., 2025, arXiv
    2505.22617), Eq. 10.
    """
    logprobs, advantages = tokens.logprobs.double(), tokens.advantages.double()
    everywhere = tokens.over_ranks
    return (logprobs - everywhere.mean(logprobs)) * (advantages - everywhere.mean(advantages))


def number_of(share: float, tokens: UpdateTokens) -> int:
    """A share of the update's tokens of all ranks, rounded down, and at least one. A collective."""
    return max(1, int(share * tokens.over_ranks.count(tokens.logprobs)))

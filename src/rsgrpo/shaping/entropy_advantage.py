"""A bonus on the advantage of tokens before which the policy was uncertain."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.shaping.base import Shaped, Shaping, UpdateTokens


def entropy_bonus(
    entropy: Float[Tensor, " T"], advantages: Float[Tensor, " T"], *, alpha: float, kappa: float
) -> Float[Tensor, " T"]:
    """min(alpha H_t, |A_t| / kappa).

    >>> import torch
    >>> entropy_bonus(torch.tensor([0.5, 2.0]), torch.tensor([-1.0, 1.0]), alpha=0.4, kappa=2.0).tolist()
    [0.20000000298023224, 0.5]
    """
    return (alpha * entropy).minimum(advantages.abs() / kappa)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyAdvantage(Shaping):
    """A_t + min(alpha H_t, |A_t| / kappa), H_t the entropy before token t in nats, without a gradient.

    See "Reasoning with Exploration: An Entropy Perspective" (Cheng et al., 2025, arXiv 2506.14758), whose H_t is that
    of the policy that is updated; here it is that of the policy that was sampled from, the same in the first update of
    an iteration. The bonus is never negative: it praises a right token more and blames a wrong one less, never turns
    the sign with kappa > 1, and is 0 where the advantage is. The defaults are those of public code (`verl` forks).

    Raises:
        FieldError: for a value outside its range.
    """

    alpha: float = 0.4
    """Advantage per nat."""
    kappa: float = 2.0
    """The bonus is at most this part of the advantage: 1 / kappa."""

    def __post_init__(self) -> None:
        check_fields(self, alpha=(0.0, math.inf), kappa=(1.0, math.inf))

    def __call__(self, tokens: UpdateTokens) -> Shaped:
        """The advantages, and `entropy_advantage`: what was added."""
        bonus = entropy_bonus(tokens.entropy, tokens.advantages, alpha=self.alpha, kappa=self.kappa)
        return Shaped(advantages=tokens.advantages + bonus, diagnostics={"entropy_advantage": bonus})

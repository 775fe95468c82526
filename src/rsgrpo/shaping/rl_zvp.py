"""RL-ZVP: what groups teach that are all right or all wrong."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.shaping.base import Shaped, Shaping, UpdateTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class RLZVP(Shaping):
    """A_t = alpha H_t in groups that are all right, -alpha (max_s H_s - H_t) in those that are all wrong, the
    objective's elsewhere.

    H_t is the entropy before token t in nats, without a gradient, of the policy that was sampled from; the maximum is
    over the tokens of the completion. See "No Prompt Left Behind" (Le et al., 2025, arXiv 2509.21880), Eq. 5. The
    default of alpha is that of public code. A filter that drops groups of equal rewards leaves nothing to do: it needs
    `filter=none`.

    Raises:
        FieldError: for a value outside its range.
    """

    alpha: float = 0.1
    """Advantage per nat."""

    def __post_init__(self) -> None:
        check_fields(self, alpha=(0.0, math.inf))

    def __call__(self, tokens: UpdateTokens) -> Shaped:
        """The advantages. `shaped_fraction`, which every run with a shaping logs, is the share of changed tokens."""
        below = sequence_max(tokens.entropy, tokens.sequence)[tokens.sequence] - tokens.entropy
        advantages = torch.where(tokens.all_right, self.alpha * tokens.entropy, tokens.advantages)
        return Shaped(advantages=torch.where(tokens.all_wrong, -self.alpha * below, advantages))


def sequence_max(values: Float[Tensor, " T"], sequence: Int[Tensor, " T"]) -> Float[Tensor, " B"]:
    """The largest of the numbers of each sequence.

    >>> sequence_max(torch.tensor([1.0, 3.0, 2.0]), torch.tensor([0, 0, 1])).tolist()
    [3.0, 2.0]
    """
    sequences = int(sequence.max()) + 1 if len(sequence) else 0
    return values.new_full((sequences,), -math.inf).scatter_reduce(0, sequence, values, "amax")

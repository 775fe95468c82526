"""How often each answer of a group was given: for objectives that compare answers."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext

ROUNDING = 1e-5
"""Of the largest advantage of a group: below it, one is 0 in another order of the sum."""


def cluster_sizes(answers: Sequence[Sequence[str | None]], like: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
    """|C_i|, the completions of a group that give the answer of completion i, itself among them.

    Completions without an answer are one cluster.

    >>> cluster_sizes([["4", "7", "4", None]], torch.zeros(1, 4)).tolist()
    [[2.0, 1.0, 2.0, 1.0]]
    """
    return torch.tensor([[row.count(answer) for answer in row] for row in answers]).view(like.shape).to(like)


def answers_of(context: AdvantageContext) -> Sequence[Sequence[str | None]]:
    """The answers of a context.

    Raises:
        ValueError: when nobody has looked for them.
    """
    if context.answers is None:
        raise ValueError("this context holds no answers; give AdvantageContext(answers=...)")
    return context.answers


def right_ones(context: AdvantageContext, rewards: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
    """1 for each completion that is correct, else 0: as the context says, or else where the reward is above 0."""
    return (rewards > 0 if context.correct is None else context.correct).to(rewards)


def above_zero(advantages: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
    """1 for each advantage that is above 0 by more than rounding, else 0."""
    return (advantages > ROUNDING * advantages.abs().amax(dim=1, keepdim=True)).to(advantages)

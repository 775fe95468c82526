"""More credit for rare answers among the correct ones, as in Cue-GRPO."""

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions, divide
from rsgrpo.objectives.claims import expected_reward
from rsgrpo.objectives.clusters import above_zero, answers_of, cluster_sizes, right_ones
from rsgrpo.objectives.grpo import mean_baseline, std_normalized


def rarity_weights(sizes: Float[Tensor, "P N"], right: Float[Tensor, "P N"], alpha: float) -> Float[Tensor, "P N"]:
    """w_i = c |C_i|^-alpha / sum_(j correct) |C_j|^-alpha for the c correct completions of a group, 1 for the others.

    The mean over the correct completions is 1: credit moves between them, and there is no more of it.

    >>> import torch
    >>> rarity_weights(torch.tensor([[2.0, 2.0, 1.0, 3.0]]), torch.tensor([[1.0, 1.0, 1.0, 0.0]]), 1.0)
    tensor([[0.7500, 0.7500, 1.5000, 1.0000]])
    """
    shares = right * sizes.pow(-alpha)
    correct = right.sum(dim=1, keepdim=True)
    return 1 - right + correct * divide(shares, shares.sum(dim=1, keepdim=True), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniqueness(Objective):
    """A_i = w_i a_i: GRPO's advantage a_i, where it is positive, moved among the correct completions to rare answers.

    See "When Correct Solutions Repeat" (Cue-GRPO, arXiv 2608.03467), Eq. 3, and "Rewarding the Rare" (arXiv 2601.08763)
    for the idea. They cluster strategies; here a cluster is an answer, so that a problem with a single right answer is
    trained as by GRPO. With two or more of them it is not the gradient of a fixed objective.

    Raises:
        FieldError: for a negative alpha or eps, or a ddof other than 0 or 1.
    """

    needs: ClassVar[tuple[str, ...]] = ("answers",)

    alpha: float = 1.0
    """0: GRPO. 1: each distinct right answer of a group gets the same in all, however often it was given."""
    normalize_std: bool = True
    """As the original GRPO does; false has the mean baseline of `objective=grpo`."""
    ddof: int = 1
    eps: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, alpha=(0.0, math.inf), ddof=(0, 1), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="uniqueness")
        sizes = cluster_sizes(answers_of(context), rewards)
        normal = std_normalized(rewards, ddof=self.ddof, eps=self.eps) if self.normalize_std else mean_baseline(rewards)
        credited = right_ones(context, rewards) * above_zero(normal)
        return rarity_weights(sizes, credited, self.alpha) * normal

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)

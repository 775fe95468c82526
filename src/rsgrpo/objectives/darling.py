"""DARLING: a reward is worth more the fewer others of the group give the same answer."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions, check_rewards
from rsgrpo.objectives.claims import expected_reward
from rsgrpo.objectives.clusters import answers_of, cluster_sizes
from rsgrpo.objectives.grpo import mean_baseline


def diversified(rewards: Float[Tensor, "P N"], sizes: Float[Tensor, "P N"], floor: float) -> Float[Tensor, "P N"]:
    """r_i max((N - |C_i|) / (N - 1), floor): times the share of the others whose answer is another one.

    >>> import torch
    >>> diversified(torch.ones(1, 3), torch.tensor([[2.0, 2.0, 1.0]]), 0.1)
    tensor([[0.5000, 0.5000, 1.0000]])
    """
    n = rewards.shape[1]
    return rewards * ((n - sizes) / (n - 1)).clamp(min=floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Darling(Objective):
    """The mean baseline on rewards times diversity: A_i = r'_i - mean r', r'_i = r_i max((N - |C_i|) / (N - 1), floor).

    See "Jointly Reinforcing Diversity and Quality in Language Model Generations" (arXiv 2509.02534): without a
    standard deviation. Its clusters are those of a learned classifier; here a cluster is an answer, so that a problem
    with a single right answer that is always given earns `floor`. Not the gradient of a fixed objective.

    Raises:
        FieldError: for a floor outside [0, 1].
        UserError: for negative rewards, which diversity would make worse.
    """

    needs: ClassVar[tuple[str, ...]] = ("answers",)

    floor: float = 0.1
    """What is left of a reward whose answer all others give too."""

    def __post_init__(self) -> None:
        check_fields(self, floor=(0.0, 1.0))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="darling")
        check_rewards(rewards, "non-negative", name="darling", instead="Uniqueness()")
        return mean_baseline(diversified(rewards, cluster_sizes(answers_of(context), rewards), self.floor))

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)

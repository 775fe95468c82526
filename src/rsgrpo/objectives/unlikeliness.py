"""He et al., "Rewarding the Unlikely": correct completions earn less the likelier they were."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions, check_rewards
from rsgrpo.objectives.claims import expected_reward
from rsgrpo.objectives.grpo import std_normalized


def discounted(rewards: Float[Tensor, "P N"], logprobs: Float[Tensor, "P N"], penalty: float) -> Float[Tensor, "P N"]:
    """r_i (1 - penalty rank_i / N), rank 0 being the least likely completion of a group; equals share their mean rank.

    >>> discounted(torch.ones(1, 4), torch.tensor([[-0.9, -0.3, -0.5, -0.2]]), 0.25)
    tensor([[1.0000, 0.8750, 0.9375, 0.8125]])
    """
    ordered = logprobs.sort(dim=1).values
    below, up_to = (torch.searchsorted(ordered, logprobs.contiguous(), right=right) for right in (False, True))
    ranks = (below + up_to - 1).to(rewards) / 2
    return rewards * (1 - penalty * ranks / rewards.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlikeliness(Objective):
    """GRPO on rewards that are discounted by the rank of the completion's likelihood under the sampler.

    See "Rewarding the Unlikely: Lifting GRPO Beyond Distribution Sharpening" (He et al., 2025) and its released code;
    its runs used two epochs per rollout and a KL penalty. The likelihood is the mean log-prob per token. Not the
    gradient of a fixed objective. Groups that are all correct teach too, so use it with `filter=none`.

    Raises:
        FieldError: for a penalty outside [0, 1], a ddof other than 0 or 1, or a negative eps.
        UserError: for negative rewards, which a discount would raise.
    """

    penalty: float = 0.25
    """Share of the reward that the likeliest completion loses, nearly: its rank is (N-1)/N."""
    ddof: int = 1
    eps: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, penalty=(0.0, 1.0), ddof=(0, 1), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="unlikeliness")
        check_rewards(rewards, "non-negative", name="unlikeliness", instead="RSGRPO()")
        shaped = discounted(rewards, context.sampler_logprobs, self.penalty)
        return std_normalized(shaped, ddof=self.ddof, eps=self.eps)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)

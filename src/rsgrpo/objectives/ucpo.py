"""UCPO: the credit of the correct completions, moved towards those that the policy finds unlikely."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions
from rsgrpo.objectives.claims import expected_reward
from rsgrpo.objectives.clusters import above_zero, right_ones
from rsgrpo.objectives.grpo import std_normalized


def uniform_weights(logprobs: Float[Tensor, "P N"], right: Float[Tensor, "P N"], tau: float) -> Float[Tensor, "P N"]:
    """w_i = c [(1 - tau) / c + tau q_i^-1 / sum_(j correct) q_j^-1] for the c correct completions, 1 for the others.

    q is the softmax of the mean log-probs per token over the correct completions, so the second share is the softmax
    of their negatives. The mean over the correct completions is 1.

    >>> import torch
    >>> uniform_weights(torch.tensor([[0.5, 0.25, 0.1]]).log(), torch.tensor([[1.0, 1.0, 0.0]]), 1.0)
    tensor([[0.6667, 1.3333, 1.0000]])
    """
    correct = right.sum(dim=1, keepdim=True)
    surprise = (-logprobs).masked_fill(right == 0, -math.inf)
    shares = surprise.softmax(dim=1).masked_fill(right == 0, 0.0)  # of a group without correct ones: nan, unused
    return 1 - right * tau + tau * correct * shares


@dataclass(frozen=True, slots=True, kw_only=True)
class UCPO(Objective):
    """A_i = w_i a_i: the original GRPO's advantage a_i, where it is positive, moved to the less likely correct ones.

    See "Uniform-Correct Policy Optimization" (arXiv 2605.00365) and its released code. The likelihood is the mean
    log-prob per token under the sampler. Not the gradient of a fixed objective.

    Raises:
        FieldError: for a tau outside [0, 1], a ddof other than 0 or 1, or a negative eps.
    """

    tau: float = 0.2
    """0: GRPO. 1: in proportion to the inverse of the likelihood."""
    ddof: int = 1
    eps: float = 0.0
    """1e-8 in the released code."""

    def __post_init__(self) -> None:
        check_fields(self, tau=(0.0, 1.0), ddof=(0, 1), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="ucpo")
        normal = std_normalized(rewards, ddof=self.ddof, eps=self.eps)
        credited = right_ones(context, rewards) * above_zero(normal)
        return uniform_weights(context.sampler_logprobs.to(rewards), credited, self.tau) * normal

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)

"""An objective as a function of a prompt's accuracy or of a reward, computed with the object that trains.

For rewards of 0 and 1 the expected gradient of a prompt of accuracy p is w(p) grad p for every objective that sees
rewards alone: two levels of reward make any function of them affine. This one curve says which prompts an objective
learns from. (`unlikeliness` sees likelihoods too: its curve is that of a policy with two outcomes.)
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.audit.enumeration import advantages_of, claimed_gradient
from rsgrpo.objectives.base import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCurve:
    """w(p), with E[g] = w(p) grad p, at G accuracies strictly between 0 and 1."""

    accuracy: Float[Tensor, " G"]
    weight: Float[Tensor, " G"]
    std: Float[Tensor, " G"]
    """Standard deviation of its estimate from one group."""
    noise: Float[Tensor, " G"]
    """Standard deviation of one group's gradient over its mean, when one answer is right and no two wrong completions
    are the same: a wrong outcome of its own for each, where with two outcomes what the wrong ones get could cancel."""
    effective: Float[Tensor, " G"]
    """Effective number of completions of a group, E[(sum_i |A_i|)^2 / sum_i A_i^2], among groups with an advantage."""
    rms: Float[Tensor, " G"]
    """sqrt(E[A^2]) of a completion."""
    claimed: Float[Tensor, " G"] | None
    """The weight that the objective claims: the derivative of its J by p."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyCurve:
    """Advantages of groups of N with c = 0, ..., N correct completions."""

    correct: Float[Tensor, " C"]
    positive: Float[Tensor, " C"]
    """Advantage of a correct completion, nan at c = 0."""
    negative: Float[Tensor, " C"]
    """Advantage of a wrong completion, nan at c = N."""
    cumulative: Float[Tensor, " C"]
    """sum_i |A_i|."""


def binary_groups(completions: int) -> Float[Tensor, "C N"]:
    """The N + 1 groups of N rewards of 0 and 1, with 0 to N correct ones.

    >>> binary_groups(2).tolist()
    [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    """
    return torch.ones(completions + 1, completions, dtype=torch.float64).tril(-1)


def weight_curve(objective: Objective, accuracy: Float[Tensor, " G"], completions: int) -> WeightCurve:
    """The expectation over the binomial number of correct completions.

    grad log pi is grad p / p for a correct completion and -grad p / (1 - p) for a wrong one, so a group's estimate of w
    is (1/N) (sum of A over the correct / p - sum of A over the wrong / (1 - p)).
    """
    groups = binary_groups(completions)
    p = accuracy.double()[:, None]
    every = groups.repeat(len(p), 1)  # all groups for the first p, then for the next
    likelihood = torch.where(groups[None] == 1, p[:, :, None].log(), (1 - p)[:, :, None].log()).flatten(0, 1)
    advantages = advantages_of(objective, every, likelihood)
    right = (advantages * every).sum(dim=1).view(len(p), -1)
    wrong = (advantages * (1 - every)).sum(dim=1).view(len(p), -1)
    estimate = (right / p - wrong / (1 - p)) / completions
    correct = groups.sum(dim=1)
    ways = torch.tensor([math.comb(completions, c) for c in range(completions + 1)], dtype=torch.float64)
    chance = ways * p**correct * (1 - p) ** (completions - correct)
    weight = (chance * estimate).sum(dim=1)
    std = (chance * (estimate - weight[:, None]).square()).sum(dim=1).sqrt()
    squares = advantages.square().view(len(p), -1, completions)
    total = right + wrong
    step = (right - p * total).square() + (squares * (1 - groups)).sum(dim=2)  # |N g|^2, by logits
    mean = weight * p[:, 0] * (1 - p[:, 0])
    noise = ((chance * step).sum(dim=1) / completions**2 - mean.square()).clamp(min=0).sqrt() / mean.abs()
    size = advantages.abs().sum(dim=1).view(len(p), -1)
    teaches = chance * (size > 0)
    effective = (teaches * size.square() / squares.sum(dim=2).where(size > 0, 1.0)).sum(dim=1) / teaches.sum(dim=1)
    claimed = [_claimed_weight(objective, float(x), completions) for x in accuracy]
    return WeightCurve(
        accuracy=accuracy.double(),
        weight=weight,
        std=std,
        noise=noise,
        effective=effective,
        rms=(chance * squares.mean(dim=2)).sum(dim=1).sqrt(),
        claimed=None if None in claimed else torch.tensor(claimed, dtype=torch.float64),
    )


def _claimed_weight(objective: Objective, p: float, completions: int) -> float | None:
    """dJ/dp: the gradient by the logit of the correct outcome is dJ/dp p (1 - p)."""
    policy, rewards = torch.tensor([[1 - p, p], [0, 1]], dtype=torch.float64)
    gradient = claimed_gradient(objective, policy, rewards, completions)
    return None if gradient is None else gradient[1].item() / (p * (1 - p))


def accuracy_curve(objective: Objective, completions: int) -> AccuracyCurve:
    """Advantages by the number of correct completions: right panels of Fig. 2 and all of Fig. 8 of the paper.

    Where an objective looks at likelihoods, the policy's accuracy is that of the group.
    """
    rewards = binary_groups(completions)
    correct = rewards.sum(dim=1)
    p = (correct / completions)[:, None].clamp(1e-6, 1 - 1e-6)
    advantages = advantages_of(objective, rewards, torch.where(rewards == 1, p.log(), (1 - p).log()))
    return AccuracyCurve(
        correct=correct,
        positive=(advantages * rewards).sum(dim=1) / correct,
        negative=(advantages * (1 - rewards)).sum(dim=1) / (completions - correct),
        cumulative=advantages.abs().sum(dim=1),
    )


def reward_curve(objective: Objective, completions: int) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """(rewards, advantages) of one group of N rewards, evenly spaced from 0 to 1: left panel of Fig. 2 of the paper.

    Where an objective looks at likelihoods, those of the completions are equal.
    """
    rewards = torch.linspace(0, 1, completions, dtype=torch.float64)[None]
    return rewards[0], advantages_of(objective, rewards, torch.zeros_like(rewards))[0]

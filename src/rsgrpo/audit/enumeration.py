"""Exact moments of an objective's gradient estimate, over every group that a small policy can draw.

A policy over M outcomes has C(N + M - 1, M - 1) groups of N without order, and advantages do not depend on the order:
969 groups for M = 4 and N = 16, so that the N of real runs is enumerated, not a smaller one.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.objectives.base import AdvantageContext, Objective, needs_of
from rsgrpo.objectives.checked import checked_advantages
from rsgrpo.objectives.claims import group_chances, multisets


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMoments:
    """What g = (1/N) sum_i A_i grad log pi(y_i) is on average, and how far it strays. By the logits of the policy."""

    mean: Float[Tensor, " M"]
    """E[g]."""
    std: float
    """sqrt(E |g - E[g]|^2), of one group."""
    largest_sum: float
    """Largest |sum_i A_i| over all groups, relative to their largest |A_i|: 0 for a centred objective."""
    resolution: float
    """Relative error of the advantages that all this was made of."""


def gradient_moments(
    objective: Objective, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int
) -> GradientMoments:
    """The moments of the gradient estimate for groups of N = `completions` outcomes drawn from `policy`.

    Raises:
        UserError, FieldError: when the objective refuses the rewards or the group size.
    """
    counts, outcomes = every_group(len(policy), completions)
    advantages = advantages_of(objective, rewards[outcomes], policy.log()[outcomes], answers=outcomes)
    by_outcome = torch.zeros(counts.shape, dtype=advantages.dtype).scatter_add(1, outcomes, advantages)
    gradients = by_outcome @ (torch.eye(len(policy), dtype=policy.dtype) - policy) / completions
    chances = group_chances(counts.to(policy), policy)
    mean = chances @ gradients
    largest = advantages.abs().max().clamp(min=torch.finfo(advantages.dtype).tiny)
    return GradientMoments(
        mean=mean,
        std=(chances @ (gradients - mean).square().sum(dim=1)).sqrt().item(),
        largest_sum=(advantages.sum(dim=1).abs().max() / largest).item(),
        resolution=resolution(advantages),
    )


def claimed_gradient(
    objective: Objective, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int
) -> Float[Tensor, " M"] | None:
    """Autograd of the objective's claim by the logits of the policy; None when it claims nothing.

    Raises:
        UserError: for a claim that is not a differentiable number.
    """
    claim = getattr(objective, "claim", None)  # a user's class need not inherit
    if claim is None:
        return None
    logits = policy.log().requires_grad_()
    with failures_name_their_place("objective", objective, "claim", like=Objective.claim):
        value = claim(logits.softmax(0), rewards, completions)
    if value is None:
        return None
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad or not value.isfinite().all():
        raise UserError(
            f"objective: {type(objective).__name__}.claim returned {value!r:.60}; return one finite number that is "
            "differentiable by the policy, or None"
        )
    return torch.autograd.grad(value.sum(), logits)[0]


@lru_cache(maxsize=8)
def every_group(outcomes: int, completions: int) -> tuple[Int[Tensor, "G M"], Int[Tensor, "G N"]]:
    """`multisets` and `outcomes_of` of them, which one audit after another asks for. Not to be changed in place."""
    counts = multisets(outcomes, completions)
    return counts, outcomes_of(counts)


def outcomes_of(counts: Int[Tensor, "G M"]) -> Int[Tensor, "G N"]:
    """The outcome of each completion of each group, in ascending order.

    >>> outcomes_of(torch.tensor([[0, 2], [1, 1]])).tolist()
    [[1, 1], [0, 1]]
    """
    groups, outcomes = counts.shape
    return torch.arange(outcomes).repeat(groups).repeat_interleave(counts.flatten()).view(groups, -1)


def advantages_of(
    objective: Objective,
    rewards: Float[Tensor, "G N"],
    logprobs: Float[Tensor, "G N"],
    *,
    answers: Int[Tensor, "G N"] | None = None,
    tried: bool = False,
) -> Float[Tensor, "G N"]:
    """The advantages of many groups at once, with the policy's log-probs as the sampler's.

    `answers` tells the completions' answers apart, for objectives that compare them; None: as their rewards.

    The expectation of each group is taken by itself and whatever the order of its completions. So, unless the objective
    was `tried` before, both are: all groups with their completions in other orders, and some of them alone.

    Raises:
        UserError, FieldError: when the objective refuses the rewards, does not return advantages, or gives a
            group other advantages in another order or without the other groups.
    """
    given: Tensor = rewards.unique(return_inverse=True)[1] if answers is None else answers
    advantages = _advantages(objective, rewards, logprobs, given)
    if tried:
        return advantages
    some = torch.linspace(0, len(rewards) - 1, min(len(rewards), ALONE)).round().long()
    alone = torch.cat([_advantages(objective, rewards[i, None], logprobs[i, None], given[i, None]) for i in some])
    name = type(objective).__name__
    if _differ(alone, advantages[some], advantages):
        raise UserError(
            f"{name}.advantages gives a group other advantages without the other groups of its batch, or at another "
            "call; the audit enumerates groups one by one: take statistics of each group alone (dim=1, keepdim=True)"
        )
    backwards = torch.arange(rewards.shape[1]).flip(0).expand_as(rewards)
    shuffled = torch.rand(rewards.shape, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    for order in (backwards, shuffled):
        permuted = _advantages(objective, *(of.gather(1, order) for of in (rewards, logprobs, given)))
        if _differ(permuted, advantages.gather(1, order), advantages):
            raise UserError(
                f"{name}.advantages depends on the order in which a group's completions stand, which means nothing; "
                "treat all completions of a group alike"
            )
    return advantages


ALONE = 16
"""Groups of an enumeration that are also handed over one by one, evenly spread."""

SAME = 1e-5
"""Largest difference, relative to the largest advantage, between two ways to compute the same: rounding of float32."""


def resolution(advantages: Float[Tensor, "G N"]) -> float:
    """The relative error of one advantage: that of float64, or of float32 where nothing finer is in any of them."""
    single = advantages.float().double().equal(advantages)
    return torch.finfo(torch.float32 if single else torch.float64).eps


def _advantages(
    objective: Objective, rewards: Float[Tensor, "G N"], logprobs: Float[Tensor, "G N"], answers: Int[Tensor, "G N"]
) -> Float[Tensor, "G N"]:
    names = [f"group {i}" for i in range(len(rewards))]
    context = AdvantageContext.of_one_token(names, rewards, logprobs, answers=answers, needs=needs_of(objective))
    return checked_advantages(objective, rewards, context)


def _differ(one: Float[Tensor, "G N"], other: Float[Tensor, "G N"], all_of_them: Float[Tensor, "F N"]) -> bool:
    return bool((one - other).abs().max() > SAME * all_of_them.abs().max())

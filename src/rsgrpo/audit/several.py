"""Where an objective moves the mass of a prompt that has several right answers, and where its gradient's noise points.

The policy is a softmax over its outcomes, one logit each, and takes small steps along the expected gradient g. Then
d pi_m = pi_m (g_m - sum_j pi_j g_j), whatever the size of the step.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rsgrpo.audit.enumeration import advantages_of, every_group
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.claims import group_chances

RIGHT = (0.20, 0.08, 0.02)
"""Three right answers, from the commonest to the rarest."""
WRONG = (0.50, 0.20)
"""Two wrong ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MassFlow:
    """What small steps along E[g] do to a policy over M outcomes, some of them right."""

    credit: Float[Tensor, " M"]
    """E[A | outcome] - E[A]: what its log-probability gains by a step of natural gradient."""
    flow: Float[Tensor, " M"]
    """d pi_m for each unit that the mass of all right answers gains: the right ones add up to 1, the others to -1."""
    spread: float
    """By how many nats the entropy of the right answers among themselves grows for each unit of that gain."""
    noise: float
    """sqrt(E |g - E[g]|^2) / |E[g]| of one group."""
    noise_among_right: float
    """Share of E |g - E[g]|^2 that would only move mass between right answers."""
    noise_among_wrong: float
    """Share that would only move mass between wrong answers; what is left moves it between right and wrong."""


def mass_flow(
    objective: Objective,
    policy: Float[Tensor, " M"],
    right: Bool[Tensor, " M"],
    completions: int,
    *,
    tried: bool = False,
) -> MassFlow:
    """The flow under groups of N = `completions`, exactly, with a reward of 1 for each of the right outcomes, else 0.

    An objective that was not `tried` before is first held to what an enumeration needs, see `advantages_of`.

    The logits' space is a sum of three: differences between right answers, between wrong ones, and the two sets against
    each other; noise and its shares are by these.

    Raises:
        UserError, FieldError: when the objective refuses the rewards or the group size.
    """
    counts, outcomes = every_group(len(policy), completions)
    drawn = right.to(policy)[outcomes], policy.log()[outcomes]
    advantages = advantages_of(objective, *drawn, answers=outcomes, tried=tried)
    by_outcome = torch.zeros(counts.shape, dtype=advantages.dtype).scatter_add(1, outcomes, advantages)
    chances = group_chances(counts.to(policy), policy)
    received = chances @ by_outcome / completions  # pi_m E[A | m]
    gradients = by_outcome / completions - policy * by_outcome.sum(dim=1, keepdim=True) / completions
    mean = chances @ gradients
    moved = policy * (mean - policy @ mean)
    gained = moved[right].sum()
    flow = moved / gained
    among = policy[right] / policy[right].sum()
    strays = gradients - mean
    size = float(chances @ strays.square().sum(dim=1))
    return MassFlow(
        credit=received / policy - received.sum(),
        flow=flow,
        spread=float(-(((flow[right] - among) / policy[right].sum()) * among.log()).sum()),
        noise=size**0.5 / float(mean.norm()),
        noise_among_right=float(chances @ _differences(strays[:, right])) / size,
        noise_among_wrong=float(chances @ _differences(strays[:, ~right])) / size,
    )


def _differences(of: Float[Tensor, "G R"]) -> Float[Tensor, " G"]:
    """The squared length of what is left when the mean of some coordinates is taken off."""
    return (of - of.mean(dim=1, keepdim=True)).square().sum(dim=1)

"""What objectives maximise, as differentiable functions of one prompt's outcomes: probabilities and rewards, both [M].

An objective's `claim` is one of these; the audit compares the expectation of its gradient estimate with their gradient.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEGLIGIBLE_BETA = 1e-20
"""Below this, exponential formulas differ from their limit by less than float64 can tell."""


def expected_reward(policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"]) -> Float[Tensor, ""]:
    """E[r].

    >>> expected_reward(torch.tensor([0.75, 0.25]), torch.tensor([0.0, 1.0]))
    tensor(0.2500)
    """
    return policy @ rewards


def expected_max(policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], k: int) -> Float[Tensor, ""]:
    """max@k = E[max of k independent rewards] = sum_j r_(j) (F_j^k - F_(j-1)^k), F the distribution function.

    For rewards of 0 and 1 it is pass@k = 1 - (1 - p)^k.

    >>> expected_max(torch.tensor([0.75, 0.25]), torch.tensor([0.0, 1.0]), 2)
    tensor(0.4375)
    """
    ordered, order = rewards.sort()
    below = policy[order].cumsum(0) ** k
    return ordered @ below.diff(prepend=below.new_zeros(1))


def exponential_utility(policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], beta: float) -> Float[Tensor, ""]:
    """J_beta = (1/beta) log E[exp(beta r)], and E[r] at beta = 0: Eq. 5 of the paper.

    >>> exponential_utility(torch.tensor([0.75, 0.25]), torch.tensor([0.0, 1.0]), 2.0)
    tensor(0.4772)
    """
    if abs(beta) < NEGLIGIBLE_BETA:
        return expected_reward(policy, rewards)
    return (policy.log() + beta * rewards).logsumexp(0) / beta


def utility_of_groups(
    policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], beta: float, completions: int
) -> Float[Tensor, ""]:
    """J_N = E[(1/beta) log((1/N) sum_j exp(beta r_j))] over groups of N: below J_beta for beta > 0, closer with N."""
    if abs(beta) < NEGLIGIBLE_BETA:
        return expected_reward(policy, rewards)
    counts = multisets(len(policy), completions).to(rewards)
    utilities = ((counts.log() + beta * rewards).logsumexp(1) - math.log(completions)) / beta
    return group_chances(counts, policy) @ utilities


def multisets(outcomes: int, draws: int) -> Int[Tensor, "G M"]:
    """How often each of M outcomes occurs, for each of the G = C(N + M - 1, M - 1) groups of N draws without order.

    >>> multisets(2, 2).tolist()
    [[0, 2], [1, 1], [2, 0]]
    """
    if outcomes == 1:
        return torch.tensor([[draws]])
    first = [(c, multisets(outcomes - 1, draws - c)) for c in range(draws + 1)]
    return torch.cat([torch.cat([torch.full((len(rest), 1), c), rest], dim=1) for c, rest in first])


def group_chances(counts: Float[Tensor, "G M"], policy: Float[Tensor, " M"]) -> Float[Tensor, " G"]:
    """The probability of each group: N! prod_m pi_m^c_m / c_m!, differentiable in the policy.

    >>> group_chances(torch.tensor([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]), torch.tensor([0.25, 0.75]))
    tensor([0.5625, 0.3750, 0.0625])
    """
    draws = counts[0].sum()
    ways = (draws + 1).lgamma() - (counts + 1).lgamma().sum(dim=1)
    return (ways + torch.special.xlogy(counts, policy).sum(dim=1)).exp()

"""Exact expectations over every group that a small policy can draw, and what objectives claim, from the definitions.

Nothing here uses the library's own enumeration or claims: groups are ordered tuples, all M^N of them.
"""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from rsgrpo.objectives.base import Objective
from tests.objectives.cases import advantages_of

POLICY = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
"""A softmax policy over M = 4 actions, each with a reward of its own."""
CONTINUOUS = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
BINARY = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
REWARDS = {"continuous": CONTINUOUS, "binary": BINARY}

Claim = Callable[[Tensor, Tensor, int], Tensor]
"""(policy [M], rewards [M], N) -> J."""


def ordered_groups(outcomes: int, n: int) -> Tensor:
    """All outcomes^n ordered groups, as indices [G, n]."""
    return torch.tensor(list(itertools.product(range(outcomes), repeat=n)))


def mean_over_groups(policy: Tensor, n: int, of: Callable[[Tensor], Tensor]) -> Tensor:
    """E[of(group)] over groups of n independent draws; `of` maps indices [G, n] to [G]."""
    groups = ordered_groups(len(policy), n)
    return policy[groups].prod(dim=1) @ of(groups)


# --- what objectives claim to maximise, of one prompt


def mean_reward(policy: Tensor, rewards: Tensor, n: int = 0) -> Tensor:
    """E[r]."""
    return (policy * rewards).sum()


def best_of(k: int) -> Claim:
    """E[max of k independent rewards], over all ordered k-tuples."""
    return lambda policy, rewards, n: mean_over_groups(policy, k, lambda groups: rewards[groups].amax(dim=1))


def best_of_group(policy: Tensor, rewards: Tensor, n: int) -> Tensor:
    """E[max of N]."""
    return best_of(n)(policy, rewards, n)


def utility(beta: float) -> Claim:
    """(1/beta) log E[exp(beta r)]."""
    return lambda policy, rewards, n: (policy * (beta * rewards).exp()).sum().log() / beta


def utility_of_group(beta: float) -> Claim:
    """E[(1/beta) log of the group's mean exp(beta r)]."""
    return lambda policy, rewards, n: mean_over_groups(
        policy, n, lambda groups: (beta * rewards[groups]).exp().mean(dim=1).log() / beta
    )


def truncated_likelihood(policy: Tensor, rewards: Tensor, n: int) -> Tensor:
    """sum_(k=1)^(N-1) pass@k / k, rewards of 0 and 1."""
    terms = [best_of(k)(policy, rewards, n) / k for k in range(1, n)]
    return torch.stack(terms).sum()


def times(factor: float, claim: Claim) -> Claim:
    return lambda policy, rewards, n: factor * claim(policy, rewards, n)


# --- gradients, by the logits of a softmax policy


def gradient(claim: Claim, rewards: Tensor, n: int, policy: Tensor = POLICY) -> Tensor:
    """Autograd of J by the logits."""
    logits = policy.log().requires_grad_()
    return torch.autograd.grad(claim(logits.softmax(0), rewards, n), logits)[0]


def expected_gradient(
    estimator: Objective | Callable[[Tensor], Tensor], rewards: Tensor, n: int, policy: Tensor = POLICY
) -> Tensor:
    """E[(1/N) sum_i A_i grad log pi(y_i)] over all ordered groups, where grad log pi(y) = onehot(y) - pi."""
    groups = ordered_groups(len(policy), n)
    drawn = rewards[groups]
    a = advantages_of(estimator, drawn) if isinstance(estimator, Objective) else estimator(drawn)
    scores = torch.eye(len(policy), dtype=policy.dtype) - policy
    # sum_i A_i onehot(y_i) per group first: [G, M].
    by_action = torch.zeros(len(groups), len(policy), dtype=policy.dtype).scatter_add(1, groups, a)
    return policy[groups].prod(dim=1) @ by_action @ scores / n


def scale(estimate: Tensor, truth: Tensor) -> float:
    """The estimate's component along the truth, as a share of it."""
    return (estimate @ truth / (truth @ truth)).item()


def cosine(estimate: Tensor, truth: Tensor) -> float:
    return (estimate @ truth / (estimate.norm() * truth.norm())).item()


# --- rewards of 0 and 1: one policy gradient weight w(p), E[g] = w grad p


def by_number_correct(objective: Objective, n: int) -> list[tuple[float, float]]:
    """(A+, A-) of groups with c = 0, ..., N correct; what no completion has is 0."""
    groups = (torch.arange(n) < torch.arange(n + 1)[:, None]).double()  # row c: the first c are correct
    a = advantages_of(objective, groups).tolist()
    return [(a[c][0] if c > 0 else 0.0, a[c][-1] if c < n else 0.0) for c in range(n + 1)]


def moments(objective: Objective, n: int, p: float) -> tuple[float, float]:
    """Mean and standard deviation of g by the logit of the correct one of two actions, exactly.

    grad log pi is 1 - p for the correct action and -p for the wrong one; c is binomial.
    """
    chances = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    gradients = [
        (c * right * (1 - p) - (n - c) * wrong * p) / n
        for c, (right, wrong) in enumerate(by_number_correct(objective, n))
    ]
    mean = sum(w * g for w, g in zip(chances, gradients, strict=True))
    variance = sum(w * (g - mean) ** 2 for w, g in zip(chances, gradients, strict=True))
    return mean, math.sqrt(variance)


def weight(objective: Objective, n: int, p: float) -> float:
    """w in E[g] = w grad p; by that logit, grad p = p (1 - p)."""
    return moments(objective, n, p)[0] / (p * (1 - p))


def weight_of_large_groups(objective: Objective, p: float, n: int = 1000) -> float:
    """A+ - A- of a group with exactly a share p correct: w as N grows."""
    a = advantages_of(objective, (torch.arange(n) < round(p * n)).double()[None])[0]
    return (a[0] - a[-1]).item()

"""The best reward of k completions out of N, averaged over all subsets: the kernel of every pass@k and max@k method.

With the rewards of a group in ascending order, g_0 <= ... <= g_(N-1), every quantity here is a running sum of the gaps
between neighbours, weighted by

    w_j = C(j, k-1) / C(N-1, k-1),

the chance that k - 1 others, drawn from N - 1 without replacement, all lie among the j lowest. All terms are of one
sign, so nothing cancels: equal rewards give exactly equal results. Ties need no care, since their gap is 0.

O(N log N), in float64 inside, for one k or one per prompt.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.objectives.base import PromptInt


@dataclass(frozen=True, slots=True)
class SortedGroups:
    """Rewards of each group in ascending order, and how to get back."""

    values: Float[Tensor, "P N"]
    order: Int[Tensor, "P N"]

    @classmethod
    def of(cls, rewards: Float[Tensor, "P N"]) -> "SortedGroups":
        values, order = rewards.double().sort(dim=1)
        return cls(values, order)

    def restore(self, results: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
        """Results in sorted order, put back to the order of the completions."""
        return torch.empty_like(results).scatter(1, self.order, results)


def subset_weights(completions: int, k: PromptInt) -> Float[Tensor, "_ N"]:
    """w_j = C(j, k-1) / C(N-1, k-1) for j = 0, ..., N-1; one row for each k.

    From w_(N-1) = 1 downwards by C(j-1, k-1) / C(j, k-1) = (j - k + 1) / j: exact zeros, and no factorial to overflow.

    >>> subset_weights(4, 2)
    tensor([[0.0000, 0.3333, 0.6667, 1.0000]], dtype=torch.float64)
    """
    rows = torch.as_tensor(k, dtype=torch.float64).reshape(-1, 1)
    j = torch.arange(1, completions, dtype=torch.float64, device=rows.device)
    shrink = (j - rows + 1).clamp(min=0) / j
    return torch.cat([shrink.flip(1).cumprod(1).flip(1), rows.new_ones(len(rows), 1)], dim=1)


def shortfall(rewards: Float[Tensor, "P N"], k: PromptInt) -> Float[Tensor, "P N"]:
    """max_j r_j - m_i, where m_i is the mean over all k-subsets that hold i of their maximum. Never negative.

    In sorted order the gap between g_j and g_(j+1) is missed when i and the k - 1 others all lie at or below g_j:
    shortfall_(i) = sum_(j >= i) (g_(j+1) - g_j) w_j. The mean of m_i over the group is the unbiased estimate of max@k
    (pass@k for rewards of 0 and 1), C(N, k)^-1 times the sum of all subset maxima.

    >>> shortfall(torch.tensor([[1.0, 1.0, 0.0, 0.0]]), 2)
    tensor([[0.0000, 0.0000, 0.3333, 0.3333]], dtype=torch.float64)
    """
    groups = SortedGroups.of(rewards)
    missed = groups.values.diff(dim=1) * subset_weights(rewards.shape[1], k).to(rewards.device)[:, :-1]
    above = missed.flip(1).cumsum(1).flip(1)
    return groups.restore(torch.cat([above, above.new_zeros(len(above), 1)], dim=1))


def gain(rewards: Float[Tensor, "P N"], k: PromptInt) -> Float[Tensor, "P N"]:
    """a_i = mean over the (k-1)-subsets S of the others of max(r_i - max S, 0): what i adds. Never negative for k > 1.

    In sorted order a_(i) = sum_(j <= i) (g_j - g_(j-1)) w_j, the first gap being 0. At k = 1 there is no S, and a_i is
    counted from the mean of the others, so that at every k equal rewards give 0: that is RLOO.

    >>> gain(torch.tensor([[0.0, 0.2, 0.5, 1.0]]), 4)
    tensor([[0.0000, 0.0000, 0.0000, 0.5000]], dtype=torch.float64)
    >>> gain(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 1)
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333]], dtype=torch.float64)
    """
    groups, n = SortedGroups.of(rewards), rewards.shape[1]
    steps = groups.values.diff(dim=1, prepend=groups.values[:, :1])
    added = (steps * subset_weights(n, k).to(rewards.device)).cumsum(dim=1)
    others = (added.sum(dim=1, keepdim=True) - added) / max(n - 1, 1)
    return groups.restore(added - others.where(torch.as_tensor(k, device=rewards.device) == 1, 0.0))


def centred_max(rewards: Float[Tensor, "P N"], k: PromptInt) -> Float[Tensor, "P N"]:
    """m_i - mean_j m_j: how much better the subsets that hold i are than the average subset. Sums to 0.

    >>> centred_max(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 2)
    tensor([[ 0.5000, -0.1667, -0.1667, -0.1667]], dtype=torch.float64)
    """
    missing = shortfall(rewards, k)
    return missing.mean(dim=1, keepdim=True) - missing


def subset_std(rewards: Float[Tensor, "P N"], k: PromptInt) -> Float[Tensor, "P 1"]:
    """Standard deviation of the maximum over all k-subsets; sqrt(rho (1 - rho)) for rewards of 0 and 1, rho = pass@k.

    The maximum is g_j with probability w_j k / N.
    """
    values = SortedGroups.of(rewards).values
    below_best = values - values[:, -1:]  # exactly 0 for equal rewards
    chances = subset_weights(rewards.shape[1], k).to(rewards.device) * k / rewards.shape[1]
    mean = (chances * below_best).sum(dim=1, keepdim=True)
    return (chances * (below_best - mean).square()).sum(dim=1, keepdim=True).sqrt()

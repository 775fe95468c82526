"""The best of k graded rewards."""

import numpy as np
from jaxtyping import Float


def max_at_k(rewards: Float[np.ndarray, "P n"], k: int) -> Float[np.ndarray, " P"]:
    """max@k = sum_i r_(i) C(i - 1, k - 1) / C(n, k): the expected best reward of k samples of n without replacement.

    r_(1) <= ... <= r_(n) are the sorted rewards of a problem. Unbiased for the expected maximum of k fresh samples; on
    rewards of 0 and 1 it is pass@k. See "Optimizing Language Models for Inference Time Objectives using Reinforcement
    Learning" (Tang et al., 2025) for the objective.

    Raises:
        ValueError: when k is not between 1 and n.

    >>> max_at_k(np.array([[0.0, 0.5, 1.0]]), 2).round(4)
    array([0.8333])
    """
    n = rewards.shape[1]
    if not 1 <= k <= n:
        raise ValueError(f"max@{k} needs 1 <= k <= n, got n={n}")
    weights = np.zeros(n)
    weights[n - 1] = k / n
    for i in range(n - 1, k - 1, -1):  # C(i - 1, k - 1) from C(i, k - 1)
        weights[i - 1] = weights[i] * (i - k + 1) / i
    return np.sort(rewards, axis=1) @ weights

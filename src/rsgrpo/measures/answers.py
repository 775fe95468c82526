"""What the answers of one problem say: majority vote, how many differ, their entropy.

Answers are clustered by equivalence before: `votes` holds how many samples gave each distinct answer. Samples without
an answer have no cluster; they count among the n samples and do not vote.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from rsgrpo.measures.pass_at_k import ladder

Votes = Sequence[int]
"""Samples of each distinct answer of a problem, all at least 1."""


def majority_at_k(votes: Votes, right: Sequence[bool], n: int, k: int) -> float:
    """maj@k: the chance that the most frequent answer among k of the n samples, drawn without replacement, is right.

    Ties are decided by a fair lot among the leading answers; k samples without any answer are wrong. Exact, unbiased
    for the vote of k fresh samples. With X_j the votes that answer j gets among the k, it is the sum over right answers
    j and m >= 1 of P(X_j = m, all others at most m) E[1 / (1 + number of others with exactly m)].

    The X_j are hypergeometric: independent Binomial(n_j, k / n), given that they and the voteless add up to k. The
    expectation over ties is the integral over y in [0, 1] of the chance in which each tie is weighted with y, a
    polynomial of degree T in y, which Gauss and Legendre's rule with T / 2 + 1 points integrates exactly.

    Raises:
        ValueError: when k is not between 1 and n, or the votes exceed n.

    >>> majority_at_k([2, 1], [True, False], 3, 3), majority_at_k([1, 1], [True, False], 2, 2)
    (1.0, 0.5)
    """
    if not 1 <= k <= n or sum(votes) > n or min(votes, default=1) < 1 or len(votes) != len(right):
        raise ValueError(f"maj@{k} needs 1 <= k <= n={n}, and votes of at least 1 each that add up to n at most")
    if k == n:
        leading = [good for count, good in zip(votes, right, strict=True) if count == max(votes)]
        return sum(leading) / len(leading) if leading else 0.0
    silent = stats.binom.pmf(np.arange(k + 1), n - sum(votes), k / n)
    chances = {size: stats.binom.pmf(np.arange(k + 1), size, k / n) for size in {*votes}}
    others = {size: list(votes).count(size) for size in {*votes}}
    total = 0.0
    for size in {count for count, good in zip(votes, right, strict=True) if good}:
        rivals = {s: times - (s == size) for s, times in others.items()}
        winners = sum(good for count, good in zip(votes, right, strict=True) if count == size)
        for m in range(1, min(k, size) + 1):
            total += winners * chances[size][m] * _others_at_most(m, k - m, silent, chances, rivals)
    return float(min(1.0, total / stats.binom.pmf(k, n, k / n)))


def _others_at_most(
    m: int, left: int, silent: np.ndarray, chances: dict[int, np.ndarray], rivals: dict[int, int]
) -> float:
    """The chance that the others fill the `left` places with at most m votes each, ties shared."""
    ties = min(left // m, sum(times for size, times in rivals.items() if size >= m))
    points, weights = np.polynomial.legendre.leggauss(ties // 2 + 1)
    filled = np.broadcast_to(silent[: left + 1], (len(points), left + 1))
    for size, times in rivals.items():
        one = np.zeros((len(points), left + 1))
        most = min(m, left)
        one[:, : most + 1] = chances[size][: most + 1]
        if m <= left:
            one[:, m] *= (points + 1) / 2
        filled = _convolved(filled, _power(one, times))
    return float(filled[:, left] @ weights / 2)


def _power(polynomials: np.ndarray, times: int) -> np.ndarray:
    """Each polynomial to the power of `times`, by squaring, up to its length."""
    result = np.zeros_like(polynomials)
    result[:, 0] = 1.0
    while times:
        if times % 2:
            result = _convolved(result, polynomials)
        times //= 2
        if times:
            polynomials = _convolved(polynomials, polynomials)
    return result


def _convolved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of the polynomials in each row, up to their common length."""
    length = a.shape[1]
    return np.stack([np.convolve(x, y)[:length] for x, y in zip(a, b, strict=True)])


def unique_at_k(votes: Votes, n: int, k: int) -> float:
    """unique@k = sum_j (1 - C(n - n_j, k) / C(n, k)) / k: the expected share of distinct answers among k samples.

    n_j of the n samples gave answer j, and the k are drawn without replacement, so it is unbiased for k fresh samples
    and policies with other numbers of samples compare at the same k. At k = n it is the unique answers ratio of the
    paper's Fig. 7.

    Raises:
        ValueError: when k is not between 1 and n.

    >>> unique_at_k([3, 1], 4, 4), unique_at_k([3, 1], 4, 1)
    (0.5, 1.0)
    """
    return unique_ladder(votes, n, [k])[k]


def unique_ladder(votes: Votes, n: int, ks: Sequence[int]) -> dict[int, float]:
    """`unique_at_k` for each k.

    Raises:
        ValueError: as `unique_at_k`.
    """
    if not all(1 <= k <= n for k in ks):
        raise ValueError(f"unique@k needs 1 <= k <= n={n}, got k={', '.join(map(str, ks))}")
    sizes = np.array(votes, dtype=int)
    seen = ladder(np.full(len(sizes), n), sizes, ks) if len(sizes) else {}  # answer j counts as the right one
    return {k: float(seen[k].sum()) / k if seen else 0.0 for k in ks}


def distinct_at_k(votes: Votes, n: int, k: int) -> float:
    """distinct@k = k unique@k = sum_j (1 - C(n - n_j, k) / C(n, k)): the expected number of different answers among k.

    Of the votes for right answers alone it is how many different right answers k samples find.

    Raises:
        ValueError: as `unique_at_k`.

    >>> distinct_at_k([3, 1], 4, 4), distinct_at_k([3, 1], 4, 1)
    (2.0, 1.0)
    """
    return k * unique_at_k(votes, n, k)


def answer_entropy(votes: Votes) -> float:
    """-sum_j q_j log q_j in nats, of the shares q_j of the distinct answers among the samples that have one.

    The plug-in estimate: too low by about (distinct answers - 1) / (2 samples).

    >>> round(answer_entropy([2, 2]), 4)
    0.6931
    """
    total = sum(votes)
    return -sum(count / total * math.log(count / total) for count in votes) + 0.0

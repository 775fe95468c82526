"""How reliably problems are solved: pass^k, G-pass@k, cover@tau."""

import math

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from rsgrpo.measures.pass_at_k import Counts


def pass_hat_k(n: Counts, correct: Counts, k: int) -> Float[np.ndarray, " P"]:
    """pass^k = C(c, k) / C(n, k): the chance that k samples, drawn without replacement, are all correct.

    Unbiased for p^k. See "tau-bench" (Yao et al., 2024, arXiv:2406.12045).

    Raises:
        ValueError: when k is not between 1 and every n.

    >>> pass_hat_k(np.array([4, 4]), np.array([3, 1]), 2)
    array([0.5, 0. ])
    """
    return g_pass_at_k(n, correct, k, 1.0)


def g_pass_at_k(n: Counts, correct: Counts, k: int, tau: float) -> Float[np.ndarray, " P"]:
    """sum_(j >= ceil(tau k)) C(c, j) C(n - c, k - j) / C(n, k): the chance that tau k or more of k samples are correct.

    See "Are Your LLMs Capable of Stable Reasoning?" (Liu et al., 2024, arXiv:2412.13147). tau -> 0 is pass@k,
    tau = 1 is pass^k.

    Raises:
        ValueError: when k is not between 1 and every n, or tau not in (0, 1].

    >>> g_pass_at_k(np.array([4]), np.array([2]), 2, 0.5).round(4)
    array([0.8333])
    """
    if not 0 < tau <= 1:
        raise ValueError(f"tau={tau} must be in (0, 1]")
    _check(n, k)
    return stats.hypergeom.sf(needed(tau, k) - 1, n, correct, k)


def mean_g_pass_at_k(n: Counts, correct: Counts, k: int) -> Float[np.ndarray, " P"]:
    """mG-pass@k = (2 / k) sum_(i = ceil(k / 2) + 1 .. k) G-pass@k at tau = i / k.

    The mean over thresholds above one half; see the same paper.

    Raises:
        ValueError: when k is not between 1 and every n.
    """
    _check(n, k)
    above = range(math.ceil(k / 2) + 1, k + 1)
    return np.sum([stats.hypergeom.sf(i - 1, n, correct, k) for i in above], axis=0) * (2 / k) + np.zeros(len(n))


def covered(n: Counts, correct: Counts, tau: float) -> Bool[np.ndarray, " P"]:
    """Whether c / n >= tau: its mean over problems is cover@tau.

    See arXiv:2510.08325: pass@k is an average of cover@tau over tau, with the weights of a Beta(1, k) density. A
    plug-in of c / n for p: biased near tau, less with more samples.

    Raises:
        ValueError: when tau is not in (0, 1].

    >>> covered(np.array([10, 10]), np.array([3, 2]), 0.3)
    array([ True, False])
    """
    if not 0 < tau <= 1:
        raise ValueError(f"tau={tau} must be in (0, 1]")
    return correct >= np.ceil(tau * n - 1e-9)


def needed(tau: float, k: int) -> int:
    """ceil(tau k), at least 1, where tau k is a whole number but for its rounding: 0.28 x 25 is 7, not 8.

    >>> needed(0.28, 25), needed(1e-12, 8)
    (7, 1)
    """
    return max(1, math.ceil(tau * k - 1e-9))


def _check(n: Counts, k: int) -> None:
    if not 1 <= k <= int(n.min()):
        raise ValueError(f"k={k} must be between 1 and the fewest samples of a problem, which are {n.min()}")

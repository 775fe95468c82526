"""From which accuracy to which accuracy problems move between two policies: the right half of the paper's Fig. 7."""

import numpy as np
from jaxtyping import Float
from scipy import stats

from rsgrpo.measures.pass_at_k import Counts

BINS = ("0", "(0, .4]", "(.4, .6]", "(.6, 1)", "1")
"""Of accuracy, as section 6.5 of the paper names them."""

EDGES = (0.4, 0.6)


def bin_of(correct: int, m: int) -> int:
    """The place in `BINS` of `correct` right ones of m samples.

    >>> [bin_of(correct, 10) for correct in (0, 4, 5, 7, 10)]
    [0, 1, 2, 3, 4]
    """
    if correct in (0, m):
        return 0 if correct == 0 else len(BINS) - 1
    return 1 + sum(correct > edge * m + 1e-9 for edge in EDGES)


def transitions(first: tuple[Counts, Counts], second: tuple[Counts, Counts], m: int) -> Float[np.ndarray, "bins bins"]:
    """Expected share of problems in each pair of bins: rows are those of the first policy, columns of the second.

    The accuracy of a policy is that of m samples, drawn without replacement from those at hand; (n, correct) of the
    same problems in the same order. With m = n it is a count.

    Raises:
        ValueError: when m is not between 1 and every n.
    """
    a, b = (_bins(n, correct, m) for n, correct in (first, second))
    return a.T @ b / len(a)


def placebo_transitions(n: Counts, correct: Counts, m: int) -> Float[np.ndarray, "bins bins"]:
    """What `transitions` says of a policy and itself, by two disjoint sets of m of its samples.

    Raises:
        ValueError: when 2m is not between 1 and every n.
    """
    if not 1 <= 2 * m <= int(n.min()):
        raise ValueError(f"two sets of m={m} need {2 * m} samples of each problem, and one has {n.min()}")
    total, in_bin = np.zeros((len(BINS), len(BINS))), _indicators(m)
    for samples, c in zip(n.tolist(), correct.tolist(), strict=True):
        drawn = stats.hypergeom.pmf(np.arange(m + 1), samples, c, m)
        first = np.flatnonzero(drawn)
        if samples == 2 * m:  # the second set is what the first one has left
            second = in_bin[c - first]
        else:
            second = stats.hypergeom.pmf(np.arange(m + 1)[None, :], samples - m, c - first[:, None], m) @ in_bin
        total += in_bin[first].T @ (drawn[first, None] * second)
    return total / len(n)


def _bins(n: Counts, correct: Counts, m: int) -> np.ndarray:
    """For each problem, the chance of each bin."""
    if not 1 <= m <= int(n.min()):
        raise ValueError(f"m={m} must be between 1 and the fewest samples of a problem, which are {n.min()}")
    drawn = stats.hypergeom.pmf(np.arange(m + 1)[None, :], n[:, None], correct[:, None], m)
    return drawn @ _indicators(m)


def _indicators(m: int) -> np.ndarray:
    """[m + 1, bins]: which bin each count falls in."""
    return np.eye(len(BINS))[[bin_of(count, m) for count in range(m + 1)]]

"""Unbiased pass@k."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer

from rsgrpo.errors import UserError

Counts = Integer[np.ndarray, " P"]
"""One whole number per problem."""


def pass_at_k(n: int, correct: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k): the chance that k of the n samples, drawn without replacement, hold a correct one.

    See "Evaluating Large Language Models Trained on Code" (Chen et al., 2021), Eq. 1: unbiased for 1 - (1 - p)^k.

    Raises:
        ValueError: when k is not between 1 and n, or `correct` not between 0 and n.

    >>> pass_at_k(16, 3, 1), pass_at_k(4, 1, 2)
    (0.1875, 0.5)
    """
    return float(ladder(np.array([n]), np.array([correct]), [k])[k][0])


def ladder(n: Counts, correct: Counts, ks: Sequence[int]) -> dict[int, Float[np.ndarray, " P"]]:
    """pass@k of each problem, for each k: `correct[i]` of the `n[i]` samples of problem i are right.

    Raises:
        ValueError: when a k is not between 1 and every n, or a count not between 0 and its n.

    >>> ladder(np.array([4, 4]), np.array([1, 0]), [1, 2])
    {1: array([0.25, 0.  ]), 2: array([0.5, 0. ])}
    """
    most = int(n.min()) if len(n) else 0
    for k in ks:
        if not 1 <= k <= most or not ((correct >= 0) & (correct <= n)).all():
            raise ValueError(
                f"pass@{k} needs 1 <= k <= n and 0 <= correct <= n, got n={_shown(n)}, correct={_shown(correct)}"
            )
    rungs, all_wrong = {}, np.ones(len(n))
    for i in range(max(ks, default=0)):
        all_wrong *= np.maximum(n - correct - i, 0) / (n - i)
        if i + 1 in ks:
            rungs[i + 1] = 1.0 - all_wrong
    return {k: rungs[k] for k in ks}


def area(n: Counts, correct: Counts, most: int) -> Float[np.ndarray, " P"]:
    """The area under pass@k over log k from k = 1 to `most`, over log `most`: a mean of pass@k in which every doubling
    of k counts the same. By the trapezoidal rule at k = 1, 2, 4 ... `most`, a power of two, for each problem.

    Raises:
        ValueError: as `ladder`, and when `most` is not a power of two of at least 2.

    >>> area(np.array([4]), np.array([1]), 4)  # (1/4 / 2 + 1/2 + 1 / 2) / 2
    array([0.5625])
    """
    if most < 2 or most & (most - 1):
        raise ValueError(f"the area needs a power of two of at least 2, got {most}")
    values = list(ladder(n, correct, rungs(most)).values())
    return (sum(values) - (values[0] + values[-1]) / 2) / (len(values) - 1)


def _shown(counts: Counts) -> str:
    different = sorted({int(count) for count in counts})
    return str(different[0]) if len(different) == 1 else f"{different[0]}..{different[-1]}"


def rungs(most: int) -> list[int]:
    """k = 1, 2, 4 ... and `most` itself: where a curve of pass@k on a logarithmic axis is computed.

    >>> rungs(24)
    [1, 2, 4, 8, 16, 24]
    """
    return sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most})


def mean_pass_at_k(counts: Sequence[tuple[int, int]], ks: Sequence[int]) -> dict[str, float]:
    """The mean of pass@k over the problems that have k samples, for each k that any has.

    `counts` holds (n, correct) per problem.

    Raises:
        UserError: when there is no problem to average over.

    >>> mean_pass_at_k([(2, 1), (2, 0)], [1, 2])
    {'pass@1': 0.25, 'pass@2': 0.5}
    """
    # Added up from the first problem on, whatever the processor would do.
    return {f"pass@{k}": sum(values.tolist()) / len(values) for k, values in _by_k(counts, ks).items()}


def standard_errors(counts: Sequence[tuple[int, int]], ks: Sequence[int]) -> dict[str, float]:
    """s / sqrt(P) of each mean of `mean_pass_at_k`: s is the standard deviation of pass@k over the P problems.

    The problems count as a sample of their kind. A single problem has none.

    >>> standard_errors([(2, 1), (2, 0)], [1])
    {'pass@1': 0.25}
    """
    return {
        f"pass@{k}": float(values.std(ddof=1)) / len(values) ** 0.5
        for k, values in _by_k(counts, ks).items()
        if len(values) > 1
    }


def _by_k(counts: Sequence[tuple[int, int]], ks: Sequence[int]) -> dict[int, Float[np.ndarray, " _"]]:
    """pass@k of each problem that has k samples."""
    if not counts:
        raise UserError("pass@k of no problems: the split is empty; give it a problem")
    found = {}
    for most in sorted({n for n, _ in counts}):
        enough = np.array([pair for pair in counts if pair[0] >= most])
        found |= ladder(enough[:, 0], enough[:, 1], [k for k in ks if k <= most and k not in found])
    return {k: found[k] for k in ks if k in found}

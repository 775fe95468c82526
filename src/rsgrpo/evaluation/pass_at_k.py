"""Unbiased pass@k."""

from collections.abc import Sequence

from rsgrpo.errors import UserError


def pass_at_k(n: int, correct: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k): the chance that k of the n samples, drawn without replacement, hold a correct one.

    See "Evaluating Large Language Models Trained on Code" (Chen et al., 2021), Eq. 1: unbiased for 1 - (1 - p)^k.

    Raises:
        ValueError: when k is not between 1 and n, or `correct` not between 0 and n.

    >>> pass_at_k(16, 3, 1), pass_at_k(4, 1, 2)
    (0.1875, 0.5)
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(f"pass@{k} needs 1 <= k <= n and 0 <= correct <= n, got n={n}, correct={correct}")
    all_wrong = 1.0
    for i in range(k):
        all_wrong *= max(n - correct - i, 0) / (n - i)
    return 1.0 - all_wrong


def mean_pass_at_k(counts: Sequence[tuple[int, int]], ks: Sequence[int]) -> dict[str, float]:
    """The mean over problems of pass@k, for each k: `counts` holds (n, correct) per problem.

    Raises:
        UserError: when there is no problem to average over.

    >>> mean_pass_at_k([(2, 1), (2, 0)], [1, 2])
    {'pass@1': 0.25, 'pass@2': 0.5}
    """
    if not counts:
        raise UserError("pass@k of no problems: the split is empty; give it a problem")
    return {f"pass@{k}": sum(pass_at_k(n, c, k) for n, c in counts) / len(counts) for k in ks}

"""How much each token counts: per-token losses -> one scalar, fixed before the first backward.

The weight of every token of an update is known before its rows are made, so the loss of M micro-batches is the loss of
one big batch by construction, and so is that of several ranks.
"""

from collections.abc import Callable, Sequence
from typing import Literal

Aggregation = Literal["token_mean", "sequence_mean", "sequence_sum"]


def token_weight(lengths: Sequence[int], aggregation: Aggregation, *, max_new_tokens: int) -> Callable[[int], float]:
    """The weight of each token of a completion by its length, in an update of completions of `lengths`.

    The loss is the sum of per-token losses times these weights.

    token_mean     1 / (all loss tokens): long completions count more (DAPO; the paper's).
    sequence_mean  1 / (sequences x own length): each completion counts the same (the original GRPO).
    sequence_sum   1 / (sequences x max_new_tokens): keeps the expected gradient that an objective promises, up to
                   a constant, when no filter makes the number of sequences random (Dr. GRPO).

    >>> weight = token_weight([1, 4], "sequence_mean", max_new_tokens=8)
    >>> weight(1), weight(4)
    (0.5, 0.125)
    """
    total, count = sum(lengths), len(lengths)
    return {
        "token_mean": lambda length: 1 / total,
        "sequence_mean": lambda length: 1 / (count * length),
        "sequence_sum": lambda length: 1 / (count * max_new_tokens),
    }[aggregation]

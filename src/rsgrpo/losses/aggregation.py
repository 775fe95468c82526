"""How much each token counts: per-token losses -> one scalar, fixed before the first backward.

The weight of every token of an update is known before its rows are made, so the loss of M micro-batches is the loss of
one big batch by construction, and so is that of several ranks.
"""

from collections.abc import Callable, Sequence
from typing import Literal

Aggregation = Literal["token_mean", "sequence_mean", "sequence_sum", "constant_sum"]


def token_weight(
    lengths: Sequence[int], aggregation: Aggregation, *, max_new_tokens: int, sequences: int
) -> Callable[[int], float]:
    """The weight of each token of a completion by its length, in an update of completions of `lengths`.

    The loss is the sum of per-token losses times these weights.

    token_mean     1 / (all loss tokens): long completions count more (DAPO; the paper's). The gradient is that of the
                   objective over a random total, which the average over updates does not quite undo.
    sequence_mean  1 / (completions x own length): each completion counts the same (the original GRPO). A wrong answer
                   is punished less the longer it is, which no objective asks for.
    sequence_sum   1 / (completions x max_new_tokens): each completion's gradient is whole, over the number of those
                   that were kept. That number is random where a filter drops groups.
    constant_sum   1 / (`sequences` x max_new_tokens): the same over a number that no draw changes (Dr. GRPO). The only
                   one that keeps the expected gradient that an objective promises, up to a constant, filter or not.

    Args:
        lengths: loss tokens of each completion of the update, those of all ranks.
        aggregation: which of the four.
        max_new_tokens: the longest that a completion can be.
        sequences: completions of an update from which no group was dropped.

    >>> weight = token_weight([1, 4], "sequence_mean", max_new_tokens=8, sequences=4)
    >>> weight(1), weight(4)
    (0.5, 0.125)
    """
    total, count = sum(lengths), len(lengths)
    return {
        "token_mean": lambda length: 1 / total,
        "sequence_mean": lambda length: 1 / (count * length),
        "sequence_sum": lambda length: 1 / (count * max_new_tokens),
        "constant_sum": lambda length: 1 / (sequences * max_new_tokens),
    }[aggregation]

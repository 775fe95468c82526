"""How much each token counts: per-token losses -> one scalar, fixed before the first backward.

The weight of every token of an update is known before its rows are made, so the loss of M micro-batches is the loss of
one big batch by construction, and so is that of several ranks.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Aggregation = Literal["token_mean", "sequence_mean", "sequence_sum"]


def token_weights(
    lengths: Sequence[int], aggregation: Aggregation, *, max_new_tokens: int
) -> list[Float[Tensor, " _"]]:
    """The weight of each token of each sequence; the loss is the weighted sum of per-token losses.

    token_mean     1 / (all loss tokens): long completions count more (DAPO; the paper's).
    sequence_mean  1 / (sequences x own length): each completion counts the same (the original GRPO).
    sequence_sum   1 / (sequences x max_new_tokens): keeps the expected gradient that an objective promises, up to
                   a constant, when no filter makes the number of sequences random (Dr. GRPO).

    >>> [w.tolist() for w in token_weights([1, 3], "token_mean", max_new_tokens=8)]
    [[0.25], [0.25, 0.25, 0.25]]
    """
    total, count = sum(lengths), len(lengths)
    weight = {
        "token_mean": lambda length: 1 / total,
        "sequence_mean": lambda length: 1 / (count * length),
        "sequence_sum": lambda length: 1 / (count * max_new_tokens),
    }[aggregation]
    return [torch.full((length,), weight(length)) for length in lengths]

"""The tokens of an update, made up: completions of any lengths, in groups that are right, wrong or mixed."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.shaping.base import UpdateTokens
from rsgrpo.shaping.over_ranks import OverRanks

ALONE = OverRanks(gather=lambda mine: [mine])
"""Of a run of one process."""


def tokens_of_lengths(
    lengths: Sequence[int],
    *,
    logprobs: Sequence[float],
    entropy: Sequence[float] | None = None,
    advantages: Sequence[float] | None = None,
    uniform: Sequence[float] | None = None,
    right: Sequence[int] = (),
    wrong: Sequence[int] = (),
    dtype: torch.dtype = torch.float64,
) -> UpdateTokens:
    """Completions of these lengths, each in a group of its own.

    Args:
        advantages: of each completion.
        right: which completions are of a group that is all right.
        wrong: which are of one that is all wrong.
    """
    sequence = torch.arange(len(lengths)).repeat_interleave(torch.tensor(list(lengths)))
    of_completions = torch.tensor(list(advantages or [0.0] * len(lengths)), dtype=dtype)
    drawn = torch.tensor(list(uniform or torch.linspace(0.1, 0.9, len(sequence)).tolist()), dtype=torch.float64)
    return UpdateTokens(
        logprobs=torch.tensor(list(logprobs), dtype=dtype),
        entropy=torch.tensor(list(entropy or [0.5] * len(sequence)), dtype=dtype),
        advantages=of_completions[sequence],
        sequence=sequence,
        group=sequence,
        correct=torch.isin(sequence, torch.tensor(list(right))),
        all_right=torch.isin(sequence, torch.tensor(list(right))),
        all_wrong=torch.isin(sequence, torch.tensor(list(wrong))),
        over_ranks=ALONE,
        draw=lambda: drawn,
    )


def random_tokens(seed: int, *, dtype: torch.dtype = torch.float32, **changed: Any) -> UpdateTokens:
    """Twelve completions of 1 to 40 tokens, of which 0 to 3 are of groups that are right, and 4 to 6 of wrong ones."""
    generator = torch.Generator().manual_seed(seed)

    def random(count: int) -> Float[Tensor, " T"]:
        return torch.rand(count, generator=generator, dtype=torch.float64)

    lengths = torch.randint(1, 41, (12,), generator=generator).tolist()
    count = sum(lengths)
    given: dict[str, Any] = {
        "logprobs": (-4 * random(count)).tolist(),
        "entropy": (2 * random(count)).tolist(),
        "advantages": (3 * random(12) - 1.5).tolist(),
        "uniform": random(count).tolist(),
    }
    return tokens_of_lengths(lengths, **{**given, **changed}, right=range(4), wrong=range(4, 7), dtype=dtype)

"""Rows of completions behind prompts of one token, for losses, terms and corrections."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.types import PackedRow


def row_of(
    lengths: Sequence[int],
    *,
    advantages: Sequence[float] | None = None,
    sampler: Float[Tensor, " T"] | None = None,
    reference: Float[Tensor, " T"] | None = None,
) -> PackedRow:
    """Completions of these lengths in one row, in float64; everything that is not given is 0."""
    tokens = torch.tensor(list(lengths))
    places = torch.arange(len(lengths)).repeat_interleave(tokens)
    count = int(tokens.sum())
    zeros = torch.zeros(count, dtype=torch.float64)
    of_sequence = torch.tensor(list(advantages or [0.0] * len(lengths)), dtype=torch.float64)
    return PackedRow(
        token_ids=torch.zeros(count + len(lengths), dtype=torch.long),
        position_ids=torch.cat([torch.arange(length + 1) for length in lengths]),
        lengths=tuple(length + 1 for length in lengths),
        target_index=torch.arange(count) + places,
        target_ids=torch.zeros(count, dtype=torch.long),
        sequence_of_target=places,
        advantages=of_sequence[places],
        weights=torch.ones(count, dtype=torch.float64),
        sampler_logprobs=zeros if sampler is None else sampler,
        reference_logprobs=reference,
    )

"""How much likelier a token, or a whole completion, is under one policy than under another."""

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.types import PackedRow

LARGEST_LOG_RATIO = 20.0
"""Keeps exp() finite; far outside any clip."""


def ratio_of(log_ratio: Float[Tensor, " *a"]) -> Float[Tensor, " *a"]:
    """exp(log_ratio), which stays finite."""
    return log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp()


def sequence_sum(values: Float[Tensor, " T"], row: PackedRow) -> Float[Tensor, " B"]:
    """The sum over the loss tokens of each sequence of a row; 0 for one without any."""
    sums = torch.zeros(len(row.lengths), dtype=values.dtype, device=values.device)
    return sums.index_add(0, row.sequence_of_target, values)


def sequence_mean(values: Float[Tensor, " T"], row: PackedRow) -> Float[Tensor, " B"]:
    """The mean over the loss tokens of each sequence of a row; 0 for one without any."""
    tokens = row.sequence_of_target.bincount(minlength=len(row.lengths)).clamp(min=1)
    return sequence_sum(values, row) / tokens

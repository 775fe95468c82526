"""Sequences -> packed rows of at most `row_tokens` tokens, laid end to end without padding.

A row of two sequences, prompt [5, 6] with completion [7, 8] and prompt [5] with completion [9, 4, 2]:

    position                0  1  2  3 | 4  5  6  7
    token_ids               5  6  7  8 | 5  9  4  2      S = 8
    position_ids            0  1  2  3 | 0  1  2  3      each sequence counts from 0
    lengths                 (4, 4)                       B = 2

The token at a position is predicted one position before it, so the loss tokens are read there:

    target_index            1  2       | 4  5  6         T = 5
    target_ids              7  8       | 9  4  2
    sequence_of_target      0  0       | 1  1  1
    advantages              A0 A0      | A1 A1 A1        of the completion, on each of its tokens
    weights                 w0 w0      | w1 w1 w1        of the aggregation, the same within a sequence
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.types import Group, PackedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSequence:
    """One prompt and completion with its advantage: what the packer packs."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    advantage: float
    weight: float
    """Share of each of its completion tokens in the loss of the whole update, see `losses/aggregation.py`."""
    sampler_logprobs: Float[Tensor, " T"]
    origin: tuple[int, int] | None = None
    """The place of its group among all outcomes, and its number in the group; None where nothing asks for it."""


def sequences_of(group: Group, advantages: Sequence[float], weight: Callable[[int], float]) -> list[TrainingSequence]:
    """The completions of a group with their advantages and the weight that their length gets, as `pack` takes them."""
    return [
        TrainingSequence(
            prompt_ids=group.prompt.token_ids,
            completion_ids=completion.token_ids,
            advantage=advantage,
            weight=weight(len(completion.token_ids)),
            sampler_logprobs=completion.logprobs,
        )
        for completion, advantage in zip(group.completions, advantages, strict=True)
    ]


def pack(
    sequences: Sequence[TrainingSequence],
    *,
    row_tokens: int,
    device: torch.device,
) -> list[PackedRow]:
    """Lay `sequences` into rows, shortest first, opening a new row when the next would exceed `row_tokens`.

    Sorting by length keeps sequences of similar length together, which is what attention over a row likes. No token
    is lost or doubled; a sequence longer than `row_tokens` gets a row of its own.

    Args:
        sequences: the sequences of one update.
        row_tokens: tokens of a row, prompts included.
        device: where the rows live.
    """
    rows = shortest_first([_length(sequence) for sequence in sequences], row_tokens)
    return [row_of([sequences[i] for i in row], device) for row in rows]


def shortest_first(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """The rows of `pack`: the numbers of the sequences in each, by length, and equally long ones as they come.

    >>> shortest_first([3, 1, 2, 9], row_tokens=4)
    [[1, 2], [0], [3]]
    """
    rows: list[list[int]] = []
    filled = 0
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if not rows or filled + lengths[i] > row_tokens:
            rows.append([])
            filled = 0
        rows[-1].append(i)
        filled += lengths[i]
    return rows


def row_of(sequences: Sequence[TrainingSequence], device: torch.device) -> PackedRow:
    """One row of the sequences, in their order; without any it only keeps step, as `empty_row` says."""
    if not sequences:
        return empty_row(device)
    lengths = torch.tensor([_length(s) for s in sequences])
    targets = torch.tensor([len(s.completion_ids) for s in sequences])
    starts = lengths.cumsum(0) - lengths
    token_ids = torch.tensor([token for s in sequences for token in (*s.prompt_ids, *s.completion_ids)])
    # The token at position p is predicted at p - 1: the targets of a sequence are its last `targets` tokens.
    sequence_of_target = torch.arange(len(sequences)).repeat_interleave(targets)
    offset = torch.arange(int(targets.sum())) - (targets.cumsum(0) - targets)[sequence_of_target]
    position = (starts + lengths - targets)[sequence_of_target] + offset
    advantages = torch.tensor([s.advantage for s in sequences], dtype=torch.float32)
    weights = torch.tensor([s.weight for s in sequences], dtype=torch.float32)
    return PackedRow(
        token_ids=token_ids.to(device),
        position_ids=(torch.arange(int(lengths.sum())) - starts.repeat_interleave(lengths)).to(device),
        lengths=tuple(lengths.tolist()),
        target_index=(position - 1).to(device),
        target_ids=token_ids[position].to(device),
        sequence_of_target=sequence_of_target.to(device),
        advantages=advantages[sequence_of_target].to(device),
        weights=weights[sequence_of_target].to(device),
        sampler_logprobs=torch.cat([s.sampler_logprobs for s in sequences]).to(device),
        origins=tuple(s.origin for s in sequences if s.origin is not None),
    )


def empty_row(device: torch.device) -> PackedRow:
    """One token and no loss: what a rank without rows computes, to take part in the collectives of others."""
    none = torch.zeros(0, dtype=torch.long, device=device)
    nothing = torch.zeros(0, device=device)
    return PackedRow(
        token_ids=torch.zeros(1, dtype=torch.long, device=device),
        position_ids=torch.zeros(1, dtype=torch.long, device=device),
        lengths=(1,),
        target_index=none,
        target_ids=none,
        sequence_of_target=none,
        advantages=nothing,
        weights=nothing,
        sampler_logprobs=nothing,
    )


def _length(sequence: TrainingSequence) -> int:
    return len(sequence.prompt_ids) + len(sequence.completion_ids)

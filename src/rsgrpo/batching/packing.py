"""Sequences -> packed rows of at most `row_tokens` tokens, laid end to end without padding."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.types import Group, PackedRow, TrainingSequence


def sequences_of(group: Group, advantages: Sequence[float]) -> list[TrainingSequence]:
    """The completions of a group with their advantages, as `pack` takes them."""
    return [
        TrainingSequence(
            prompt_ids=group.prompt.token_ids,
            completion_ids=completion.token_ids,
            advantage=advantage,
            sampler_logprobs=completion.logprobs,
        )
        for completion, advantage in zip(group.completions, advantages, strict=True)
    ]


def pack(
    sequences: Sequence[TrainingSequence],
    token_weights: Sequence[Float[Tensor, " _"]],
    *,
    row_tokens: int,
    device: torch.device,
) -> list[PackedRow]:
    """Lay `sequences` into rows, shortest first, opening a new row when the next would exceed `row_tokens`.

    Sorting by length keeps sequences of similar length together, which is what attention over a row likes. No token
    is lost or doubled; a sequence longer than `row_tokens` gets a row of its own.

    Args:
        sequences: the sequences of one update.
        token_weights: for each sequence, the weight of each completion token in the loss.
        row_tokens: tokens of a row, prompts included.
        device: where the rows live.
    """
    order = sorted(range(len(sequences)), key=lambda i: _length(sequences[i]))
    rows: list[list[int]] = []
    filled = 0
    for i in order:
        length = _length(sequences[i])
        if not rows or filled + length > row_tokens:
            rows.append([])
            filled = 0
        rows[-1].append(i)
        filled += length
    return [_row([sequences[i] for i in row], [token_weights[i] for i in row], device) for row in rows]


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


def _row(
    sequences: Sequence[TrainingSequence], token_weights: Sequence[Float[Tensor, " _"]], device: torch.device
) -> PackedRow:
    lengths = torch.tensor([_length(s) for s in sequences])
    targets = torch.tensor([len(s.completion_ids) for s in sequences])
    starts = lengths.cumsum(0) - lengths
    token_ids = torch.tensor([token for s in sequences for token in (*s.prompt_ids, *s.completion_ids)])
    # The token at position p is predicted at p - 1: the targets of a sequence are its last `targets` tokens.
    sequence_of_target = torch.arange(len(sequences)).repeat_interleave(targets)
    offset = torch.arange(int(targets.sum())) - (targets.cumsum(0) - targets)[sequence_of_target]
    position = (starts + lengths - targets)[sequence_of_target] + offset
    advantages = torch.tensor([s.advantage for s in sequences], dtype=torch.float32)
    return PackedRow(
        token_ids=token_ids.to(device),
        position_ids=(torch.arange(int(lengths.sum())) - starts.repeat_interleave(lengths)).to(device),
        lengths=tuple(lengths.tolist()),
        target_index=(position - 1).to(device),
        target_ids=token_ids[position].to(device),
        sequence_of_target=sequence_of_target.to(device),
        advantages=advantages[sequence_of_target].to(device),
        weights=torch.cat(list(token_weights)).to(device),
        sampler_logprobs=torch.cat([s.sampler_logprobs for s in sequences]).to(device),
    )

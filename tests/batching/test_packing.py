"""Packing: nothing is lost, doubled or shifted."""

import itertools
from itertools import takewhile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.batching import packing
from rsgrpo.batching.packing import TrainingSequence, pack
from rsgrpo.types import PackedRow

CPU = torch.device("cpu")
SHAPES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), max_size=12)
"""(prompt tokens, completion tokens) of each sequence."""


def sequences_of(shapes: list[tuple[int, int]]) -> list[TrainingSequence]:
    """Sequences in which every token id, log-prob, weight and advantage occurs once: traceable."""
    token = itertools.count(100)
    sequences = []
    for i, (prompt, completion) in enumerate(shapes):
        prompt_ids = tuple(itertools.islice(token, prompt))
        completion_ids = tuple(itertools.islice(token, completion))
        sequences.append(
            TrainingSequence(
                prompt_ids=prompt_ids,
                completion_ids=completion_ids,
                advantage=float(i) - 2.5,
                weight=prompt_ids[0] / 1024,
                sampler_logprobs=-torch.tensor(completion_ids, dtype=torch.float32),
            )
        )
    return sequences


def parts_of(row: PackedRow) -> list[list[int]]:
    """The token ids of each sequence of a row."""
    return [part.tolist() for part in row.token_ids.split(list(row.lengths))]


def test_two_sequences_by_hand():
    # Shortest first: (9 | 8) then (1 2 | 3 4 5). Positions 0..1 and 2..6; the completion tokens stand at 1 and 4, 5, 6
    # and are predicted one position before.
    sequences = [
        TrainingSequence(
            prompt_ids=(1, 2),
            completion_ids=(3, 4, 5),
            advantage=0.5,
            weight=0.2,
            sampler_logprobs=torch.tensor([-1.0, -2.0, -3.0]),
        ),
        TrainingSequence(
            prompt_ids=(9,), completion_ids=(8,), advantage=-1.5, weight=0.4, sampler_logprobs=torch.tensor([-4.0])
        ),
    ]
    (row,) = pack(sequences, row_tokens=7, device=CPU)
    assert row.lengths == (2, 5)
    assert row.token_ids.tolist() == [9, 8, 1, 2, 3, 4, 5]
    assert row.position_ids.tolist() == [0, 1, 0, 1, 2, 3, 4]
    assert row.target_index.tolist() == [0, 3, 4, 5]
    assert row.target_ids.tolist() == [8, 3, 4, 5]
    assert row.sequence_of_target.tolist() == [0, 1, 1, 1]
    assert row.advantages.tolist() == [-1.5, 0.5, 0.5, 0.5]
    assert row.weights.tolist() == pytest.approx([0.4, 0.2, 0.2, 0.2])
    assert row.sampler_logprobs.tolist() == [-4.0, -1.0, -2.0, -3.0]
    assert row.num_loss_tokens == 4


@given(shapes=SHAPES, row_tokens=st.integers(1, 40))
def test_every_sequence_is_in_exactly_one_row_and_whole(shapes, row_tokens):
    sequences = sequences_of(shapes)
    rows = pack(sequences, row_tokens=row_tokens, device=CPU)
    packed = sorted(part for row in rows for part in parts_of(row))
    assert packed == sorted([*s.prompt_ids, *s.completion_ids] for s in sequences)
    assert all(row.lengths for row in rows)


@given(shapes=SHAPES, row_tokens=st.integers(1, 40))
def test_a_row_is_longer_than_row_tokens_only_when_it_holds_one_sequence(shapes, row_tokens):
    rows = pack(sequences_of(shapes), row_tokens=row_tokens, device=CPU)
    for row in rows:
        assert sum(row.lengths) == row.token_ids.numel()
        assert sum(row.lengths) <= row_tokens or len(row.lengths) == 1
    # A new row is opened only when the next sequence would not have fitted.
    for row, following in itertools.pairwise(rows):
        assert sum(row.lengths) + following.lengths[0] > row_tokens


@given(shapes=SHAPES, row_tokens=st.integers(1, 40))
def test_sequences_lie_shortest_first(shapes, row_tokens):
    rows = pack(sequences_of(shapes), row_tokens=row_tokens, device=CPU)
    lengths = [length for row in rows for length in row.lengths]
    assert lengths == sorted(lengths)


@given(shapes=SHAPES, row_tokens=st.integers(1, 40))
def test_positions_restart_with_every_sequence(shapes, row_tokens):
    for row in pack(sequences_of(shapes), row_tokens=row_tokens, device=CPU):
        assert row.position_ids.tolist() == [p for length in row.lengths for p in range(length)]


@given(shapes=SHAPES, row_tokens=st.integers(1, 40))
def test_targets_are_the_completion_tokens_predicted_one_position_before(shapes, row_tokens):
    sequences = sequences_of(shapes)
    completion_of = {s.prompt_ids[0]: list(s.completion_ids) for s in sequences}
    for row in pack(sequences, row_tokens=row_tokens, device=CPU):
        completions = [completion_of[part[0]] for part in parts_of(row)]
        assert row.target_ids.tolist() == [token for completion in completions for token in completion]
        assert row.token_ids[row.target_index + 1].equal(row.target_ids)
        # The position that predicts belongs to the same sequence: none looks over the border.
        owner = torch.arange(len(row.lengths)).repeat_interleave(torch.tensor(row.lengths))
        assert owner[row.target_index].equal(row.sequence_of_target)


@given(shapes=SHAPES, row_tokens=st.integers(1, 40))
def test_what_belongs_to_a_token_stays_with_it(shapes, row_tokens):
    sequences = sequences_of(shapes)
    advantage_of = {token: s.advantage for s in sequences for token in s.completion_ids}
    weight_of = {token: s.weight for s in sequences for token in s.completion_ids}
    for row in pack(sequences, row_tokens=row_tokens, device=CPU):
        targets = row.target_ids.tolist()
        assert row.advantages.tolist() == [advantage_of[token] for token in targets]
        assert row.weights.tolist() == [weight_of[token] for token in targets]
        assert row.sampler_logprobs.tolist() == [-float(token) for token in targets]


def test_no_sequences_make_no_rows():
    assert pack([], row_tokens=8, device=CPU) == []


def test_the_row_of_the_docstring_is_what_the_packer_makes():
    sequences = [
        TrainingSequence(
            prompt_ids=prompt,
            completion_ids=completion,
            advantage=advantage,
            weight=0.25,
            sampler_logprobs=torch.zeros(len(completion)),
        )
        for prompt, completion, advantage in (((5, 6), (7, 8), 1.0), ((5,), (9, 4, 2), -1.0))
    ]
    (row,) = pack(sequences, row_tokens=8, device=CPU)
    drawn = {words[0]: words[1:] for line in (packing.__doc__ or "").splitlines() if (words := line.split())}
    for name in ("token_ids", "position_ids", "target_index", "target_ids", "sequence_of_target"):
        numbers = [
            int(word) for word in takewhile(lambda word: word == "|" or word.isdigit(), drawn[name]) if word != "|"
        ]
        assert numbers == getattr(row, name).tolist(), name

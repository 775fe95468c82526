"""Token weights: their values, their sums, and that splitting an update into rows changes nothing."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.batching.packing import pack
from rsgrpo.losses.aggregation import Aggregation, token_weights
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.types import TrainingSequence

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("aggregation", "weights"),
    [
        ("token_mean", [1 / 4, 1 / 4]),  # 4 loss tokens in all
        ("sequence_mean", [1 / 2, 1 / 6]),  # 1 / (2 sequences x own length)
        ("sequence_sum", [1 / 16, 1 / 16]),  # 1 / (2 sequences x 8)
    ],
)
def test_weights_by_hand(aggregation, weights):
    got = token_weights([1, 3], aggregation, max_new_tokens=8)
    assert [w.tolist() for w in got] == [
        pytest.approx([weights[0]], rel=1e-6),
        pytest.approx([weights[1]] * 3, rel=1e-6),
    ]


@given(lengths=LENGTHS)
def test_token_mean_counts_every_token_the_same_and_sums_to_one(lengths):
    weights = torch.cat(token_weights(lengths, "token_mean", max_new_tokens=40))
    assert len(weights) == sum(lengths)
    assert weights.unique().numel() == 1
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)


@given(lengths=LENGTHS)
def test_sequence_mean_counts_every_sequence_the_same_and_sums_to_one(lengths):
    weights = token_weights(lengths, "sequence_mean", max_new_tokens=40)
    assert [w.sum().item() for w in weights] == pytest.approx([1 / len(lengths)] * len(lengths), rel=1e-5)


@given(lengths=LENGTHS)
def test_sequence_sum_does_not_depend_on_the_other_lengths(lengths):
    # The weight of a token is 1 / (sequences x max_new_tokens), whoever it belongs to: the sum of a sequence's
    # log-prob gradients is scaled by one constant.
    weights = torch.cat(token_weights(lengths, "sequence_sum", max_new_tokens=40))
    assert weights.tolist() == pytest.approx([1 / (40 * len(lengths))] * sum(lengths), rel=1e-6)


def test_no_sequences_have_no_weights():
    for aggregation in get_args(Aggregation):
        assert token_weights([], aggregation, max_new_tokens=8) == []


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
@pytest.mark.parametrize("row_tokens", [1, 7, 12, 1000])
def test_the_loss_of_many_rows_is_the_loss_of_one_row(aggregation, row_tokens):
    # A policy without context: log-softmax of one logit vector. Completions of 1, 4 and 2 tokens behind prompts of
    # 2, 1 and 3.
    logits = torch.tensor([0.2, -0.4, 1.0, 0.0, 0.6], requires_grad=True)
    completions, prompts = [(1,), (2, 0, 4, 4), (3, 2)], [(0, 1), (3,), (4, 4, 4)]
    old = torch.full((5,), 0.2).log()
    sequences = [
        TrainingSequence(prompt_ids=p, completion_ids=c, advantage=a, sampler_logprobs=old[list(c)])
        for p, c, a in zip(prompts, completions, (1.0, -2.0, 0.5), strict=True)
    ]
    weights = token_weights([len(c) for c in completions], aggregation, max_new_tokens=6)

    def loss_of(row_tokens):
        rows = pack(sequences, weights, row_tokens=row_tokens, device=torch.device("cpu"))
        total = torch.zeros(())
        for row in rows:
            losses, _ = ClipLoss()(logits.log_softmax(0)[row.target_ids], row.sampler_logprobs, row.advantages)
            total = total + (losses * row.weights).sum()
        return len(rows), total, torch.autograd.grad(total, logits)[0]

    count, total, gradient = loss_of(row_tokens)
    # By hand, one sequence after the other and without any packing.
    expected = torch.zeros(())
    for sequence, weight in zip(sequences, weights, strict=True):
        ids = torch.tensor(sequence.completion_ids)
        ratio = (logits.log_softmax(0)[ids] - old[ids]).exp()
        a = sequence.advantage
        expected = expected - (weight * torch.minimum(ratio * a, ratio.clamp(0.8, 1.28) * a)).sum()
    assert count == {1: 3, 7: 3, 12: 2, 1000: 1}[row_tokens]  # lengths 3, 5, 5
    torch.testing.assert_close(total, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], atol=1e-6, rtol=0)

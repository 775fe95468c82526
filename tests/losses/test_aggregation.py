"""Token weights: their values, their sums, and that splitting an update into rows changes nothing."""

import itertools
import math
from itertools import chain
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.batching.packing import TrainingSequence, pack
from rsgrpo.losses.aggregation import Aggregation, token_weight
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.types import TokenStatistics

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def weights_of(lengths, aggregation, max_new_tokens):
    """The weights of all tokens of each sequence."""
    weight = token_weight(lengths, aggregation, max_new_tokens=max_new_tokens, sequences=5)
    return [[weight(length)] * length for length in lengths]


@pytest.mark.parametrize(
    ("aggregation", "weights"),
    [
        ("token_mean", [1 / 4, 1 / 4]),  # 4 loss tokens in all
        ("sequence_mean", [1 / 2, 1 / 6]),  # 1 / (2 sequences x own length)
        ("sequence_sum", [1 / 16, 1 / 16]),  # 1 / (2 sequences x 8)
        ("constant_sum", [1 / 40, 1 / 40]),  # 1 / (5 sequences of a full update x 8)
    ],
)
def test_weights_by_hand(aggregation, weights):
    assert weights_of([1, 3], aggregation, 8) == [
        pytest.approx([weights[0]], rel=1e-12),
        pytest.approx([weights[1]] * 3, rel=1e-12),
    ]


@given(lengths=LENGTHS)
def test_token_mean_counts_every_token_the_same_and_sums_to_one(lengths):
    weights = list(chain(*weights_of(lengths, "token_mean", 40)))
    assert len(weights) == sum(lengths)
    assert len(set(weights)) == 1
    assert sum(weights) == pytest.approx(1, abs=1e-9)


@given(lengths=LENGTHS)
def test_sequence_mean_counts_every_sequence_the_same_and_sums_to_one(lengths):
    weights = weights_of(lengths, "sequence_mean", 40)
    assert [sum(w) for w in weights] == pytest.approx([1 / len(lengths)] * len(lengths), rel=1e-9)


@given(lengths=LENGTHS)
def test_sequence_sum_does_not_depend_on_the_other_lengths(lengths):
    # The weight of a token is 1 / (sequences x max_new_tokens), whoever it belongs to: the sum of a sequence's
    # log-prob gradients is scaled by one constant.
    weights = list(chain(*weights_of(lengths, "sequence_sum", 40)))
    assert weights == pytest.approx([1 / (40 * len(lengths))] * sum(lengths), rel=1e-9)


def test_an_update_without_sequences_has_a_weight_for_none():
    for aggregation in get_args(Aggregation):
        assert callable(token_weight([], aggregation, max_new_tokens=8, sequences=2))


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
@pytest.mark.parametrize("row_tokens", [1, 7, 12, 1000])
def test_the_loss_of_many_rows_is_the_loss_of_one_row(aggregation, row_tokens):
    # A policy without context: log-softmax of one logit vector. Completions of 1, 4 and 2 tokens behind prompts of
    # 2, 1 and 3.
    logits = torch.tensor([0.2, -0.4, 1.0, 0.0, 0.6], requires_grad=True)
    completions, prompts = [(1,), (2, 0, 4, 4), (3, 2)], [(0, 1), (3,), (4, 4, 4)]
    old = torch.full((5,), 0.2).log()
    weight = token_weight([len(c) for c in completions], aggregation, max_new_tokens=6, sequences=7)
    sequences = [
        TrainingSequence(
            prompt_ids=p, completion_ids=c, advantage=a, weight=weight(len(c)), sampler_logprobs=old[list(c)]
        )
        for p, c, a in zip(prompts, completions, (1.0, -2.0, 0.5), strict=True)
    ]

    def loss_of(row_tokens):
        rows = pack(sequences, row_tokens=row_tokens, device=torch.device("cpu"))
        total = torch.zeros(())
        for row in rows:
            logprobs = logits.log_softmax(0)[row.target_ids]
            output = ClipLoss()(TokenStatistics(logprobs, torch.zeros_like(logprobs)), row.sampler_logprobs, row)
            total = total + (output.per_token * row.weights).sum()
        return len(rows), total, torch.autograd.grad(total, logits)[0]

    count, total, gradient = loss_of(row_tokens)
    # By hand, one sequence after the other and without any packing.
    expected = torch.zeros(())
    for sequence in sequences:
        ids = torch.tensor(sequence.completion_ids)
        ratio = (logits.log_softmax(0)[ids] - old[ids]).exp()
        a = sequence.advantage
        expected = expected - (sequence.weight * torch.minimum(ratio * a, ratio.clamp(0.8, 1.28) * a)).sum()
    assert count == {1: 3, 7: 3, 12: 2, 1000: 1}[row_tokens]  # lengths 3, 5, 5
    torch.testing.assert_close(total, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], atol=1e-6, rtol=0)


def expected_weights(aggregation: Aggregation, *, filtered: bool, n: int = 4) -> list[float]:
    """Expected gradient of a hard and of an easy prompt by their accuracies, in one update of both, by enumeration.

    Completions of one token that is right or wrong, RLOO; `filtered` drops groups that are all right or all wrong.
    """
    accuracies, found = (0.05, 0.5), [0.0, 0.0]
    for correct in itertools.product(range(n + 1), repeat=2):
        chance = math.prod(
            math.comb(n, c) * p**c * (1 - p) ** (n - c) for c, p in zip(correct, accuracies, strict=True)
        )
        kept = [i for i, c in enumerate(correct) if not filtered or 0 < c < n]
        weight = token_weight([1] * n * len(kept), aggregation, max_new_tokens=1, sequences=2 * n) if kept else None
        for i in kept:
            c, p = correct[i], accuracies[i]
            # Sum over completions of advantage x d log pi / dp: 1/p for a right one, -1/(1-p) for a wrong one.
            right, wrong = n / (n - 1) * (1 - c / n), n / (n - 1) * -(c / n)
            assert weight is not None
            found[i] += chance * weight(1) * (c * right / p - (n - c) * wrong / (1 - p))
    return found


def test_only_a_constant_keeps_the_weight_of_hard_prompts_when_groups_are_dropped() -> None:
    # The mean reward of both prompts has a gradient of 1/2 each, whatever their accuracy.
    assert expected_weights("constant_sum", filtered=True) == pytest.approx([0.5, 0.5], rel=1e-12)
    assert expected_weights("constant_sum", filtered=False) == pytest.approx([0.5, 0.5], rel=1e-12)
    assert expected_weights("sequence_sum", filtered=False) == pytest.approx([0.5, 0.5], rel=1e-12)
    hard, easy = expected_weights("sequence_sum", filtered=True)
    assert hard / easy < 0.8

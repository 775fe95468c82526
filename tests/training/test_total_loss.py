"""The whole loss: micro-batches add up for every part, and parts that return something else are refused by name."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rsgrpo.batching.packing import TrainingSequence, pack
from rsgrpo.corrections.base import Correction, Weights
from rsgrpo.errors import UserError
from rsgrpo.losses.aggregation import token_weight
from rsgrpo.losses.base import LossOutput
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.models.policy import Policy
from rsgrpo.terms.base import Term
from rsgrpo.terms.entropy import EntropyBonus
from rsgrpo.training.reference import FrozenCopy
from rsgrpo.training.total_loss import TotalLoss
from rsgrpo.types import TokenStatistics
from tests.distributed.rank_bodies import one_backward, total_losses
from tests.losses.rows import row_of

LENGTHS = (5, 1, 7, 3)


@pytest.fixture(scope="module")
def moved(random_policy: Path) -> tuple[Policy, FrozenCopy]:
    """A policy that has left its reference."""
    policy = Policy.from_pretrained(random_policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.05)
    return policy, FrozenCopy(Policy.from_pretrained(random_policy))


@pytest.mark.parametrize("name", list(total_losses()))
def test_many_micro_batches_are_one_batch(name: str, moved: tuple[Policy, FrozenCopy]) -> None:
    policy, reference = moved
    loss = total_losses()[name]
    weight = token_weight(LENGTHS, loss.surrogate.aggregation, max_new_tokens=9, sequences=6)
    draw = torch.Generator().manual_seed(0)
    sequences = [
        TrainingSequence(
            prompt_ids=(3, 4),
            completion_ids=tuple(torch.randint(0, 200, (length,), generator=draw).tolist()),
            advantage=1.0 - i,
            weight=weight(length),
            sampler_logprobs=torch.full((length,), -5.3),
        )
        for i, length in enumerate(LENGTHS)
    ]
    found = []
    for row_tokens, number in ((1, 4), (1000, 1)):
        rows = pack(sequences, row_tokens=row_tokens, device=torch.device("cpu"))
        assert len(rows) == number
        policy.zero_grad()
        total = sum(one_backward(policy, reference, loss, row) for row in rows)
        found.append((total, [p.grad.clone() for p in policy.parameters() if p.grad is not None]))
    (many, gradients), (one, others) = found
    assert many == pytest.approx(one, abs=1e-5)
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-5, rtol=1e-4)


class Odd(Term):
    """Returns what it is told to."""

    def __init__(self, said: object) -> None:
        self.said = said

    def __call__(self, tokens, row):  # pyright: ignore[reportIncompatibleMethodOverride]
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def called(total: TotalLoss) -> LossOutput:
    logprobs = torch.zeros(2, requires_grad=True)
    row = replace(row_of([2]), advantages=torch.ones(2), sampler_logprobs=torch.zeros(2))
    entropy = torch.ones(2, requires_grad=total.entropy_gradient)
    return total(TokenStatistics(logprobs * 1.0, entropy * 1.0), torch.zeros(2), row)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (3.0, r"term\.mine: Odd returned float; return rsgrpo\.losses\.base\.LossOutput"),
        (LossOutput(per_token=torch.zeros(3)), r"term\.mine: Odd returned per_token of shape \[3\]; .* \[2\]"),
        (ValueError("no"), r"term\.mine: Odd raised ValueError"),
        (
            LossOutput(per_token=torch.zeros(2, requires_grad=True), diagnostics={"clip_fraction": torch.zeros(2)}),
            r"term\.mine returned the diagnostic 'clip_fraction', which another part of the loss has",
        ),
        (
            LossOutput(per_token=torch.zeros(2)),
            r"term\.mine: Odd returned a per_token without a gradient.*entropy_gradient",
        ),
    ],
    ids=["a number", "a wrong shape", "an exception", "a name twice", "no gradient"],
)
def test_a_term_of_ones_own_that_is_wrong_is_named(said: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        called(TotalLoss(ClipLoss(), {"mine": Odd(said)}))


class OddCorrection(Correction):
    def __init__(self, said: object) -> None:
        self.said = said

    def __call__(self, old_logprobs, row):  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (torch.ones(2), "correction: OddCorrection returned Tensor; return rsgrpo"),
        (Weights(per_token=torch.ones(1)), r"correction: OddCorrection returned per_token of shape \[1\]"),
    ],
    ids=["a tensor", "a wrong shape"],
)
def test_a_correction_of_ones_own_that_is_wrong_is_named(said: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        called(TotalLoss(ClipLoss(), {}, OddCorrection(said)))


def test_a_surrogate_without_a_gradient_of_the_entropy_may_stand_beside_a_term_with_one() -> None:
    total = TotalLoss(ClipLoss(), {"entropy": EntropyBonus()})
    assert total.entropy_gradient
    assert not TotalLoss(ClipLoss()).entropy_gradient
    output = called(total)
    output.per_token.sum().backward()
    total.check_backward()

"""Entropy in the loss: the gradient is that of the full softmax, and a target is reached on a bandit."""

from dataclasses import replace

import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.terms.entropy import EntropyBonus, EntropyTarget
from rsgrpo.types import StepReport, TokenStatistics
from tests.losses.rows import row_of
from tests.metrics.test_metrics import report as iteration


def statistics(logits: torch.Tensor) -> TokenStatistics:
    """Of one token drawn from a softmax."""
    logprobs = logits.log_softmax(0)
    return TokenStatistics(logprobs[:1], -(logprobs.exp() * logprobs).sum()[None])


def report(entropy: float | None) -> StepReport:
    """Of an iteration with this entropy per token."""
    return iteration(entropy=entropy)


def test_the_gradient_is_that_of_the_entropy_of_the_full_softmax() -> None:
    logits = torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64, requires_grad=True)
    output = EntropyBonus(coefficient=0.3)(statistics(logits), row_of([1]))
    (gradient,) = torch.autograd.grad(output.per_token.sum(), logits)
    p = logits.detach().softmax(0)
    h = -(p * p.log()).sum()
    # dH/dlogit_j = -p_j (log p_j + H), the loss is -.3 H.
    torch.testing.assert_close(gradient, 0.3 * p * (p.log() + h), atol=1e-15, rtol=1e-12)


def test_a_coefficient_of_zero_has_no_gradient() -> None:
    logits = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    output = EntropyBonus(coefficient=0.0)(statistics(logits), row_of([1]))
    assert torch.autograd.grad(output.per_token.sum(), logits)[0].tolist() == [0.0, 0.0]


def test_the_coefficient_moves_towards_the_target_and_stays_within_its_bounds() -> None:
    term = EntropyTarget(target=0.5, step=0.1, most=0.03)
    for entropy, expected in ((0.3, 0.02), (0.3, 0.03), (None, 0.03), (0.7, 0.01), (2.0, 0.0)):
        term.observe(report(entropy))
        assert term.in_force == pytest.approx(expected, abs=1e-12)


def test_a_target_is_reached_on_a_bandit_whose_reward_would_end_all_entropy() -> None:
    # Four arms with rewards 1, 0, 0, 0: the expected policy gradient alone drives the entropy to 0.
    target, rewards = 0.6, torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    ends = []
    for term in (EntropyTarget(target=target, step=0.05, most=1.0), EntropyBonus(coefficient=0.0)):
        logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        for _ in range(4000):
            tokens = statistics(logits)
            loss = -(logits.softmax(0) * rewards).sum() + term(tokens, row_of([1])).per_token.sum()
            (gradient,) = torch.autograd.grad(loss, logits)
            logits = (logits - 0.5 * gradient).detach().requires_grad_()
            term.observe(report(tokens.entropy.item()))
        ends.append(statistics(logits).entropy.item())
    assert ends[0] == pytest.approx(target, abs=0.02)
    assert ends[1] < 0.05


def test_the_state_is_the_coefficient() -> None:
    term, other = EntropyTarget(target=0.5, step=0.1), EntropyTarget(target=0.5, step=0.1)
    term.observe(report(0.3))
    other.load_state_dict(term.state_dict())
    assert other.in_force == term.in_force > 0


def test_a_copy_by_replace_starts_afresh() -> None:
    term = EntropyTarget(target=0.5, step=0.1)
    term.observe(report(0.3))
    assert replace(term, step=0.2).in_force == 0.0


def test_a_first_coefficient_above_the_largest_is_refused() -> None:
    with pytest.raises(FieldError, match="coefficient"):
        EntropyTarget(target=0.5, coefficient=0.2, most=0.1)

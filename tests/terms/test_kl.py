"""KL estimators: their expectations and those of their gradients, enumerated over a small policy."""

import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.terms.kl import KL, Estimator, kl_estimate
from rsgrpo.types import TokenStatistics
from tests.losses.rows import row_of

LOGITS = torch.tensor([0.9, -0.3, 0.1, -1.2], dtype=torch.float64)
REFERENCE = torch.tensor([0.1, 0.4, -0.6, 0.2], dtype=torch.float64).log_softmax(0)


def expectation(estimator: Estimator) -> torch.Tensor:
    """sum_y pi(y) k(y), with pi held fixed: what an estimate is on average."""
    logprobs = LOGITS.log_softmax(0)
    return (logprobs.exp() * kl_estimate(logprobs - REFERENCE, estimator)).sum()


def gradient_in_the_loss(estimator: Estimator) -> torch.Tensor:
    """sum_y pi(y) grad k(y), tokens drawn from pi and not differentiated through."""
    logits = LOGITS.clone().requires_grad_()
    logprobs = logits.log_softmax(0)
    mean = (logprobs.detach().exp() * kl_estimate(logprobs - REFERENCE, estimator)).sum()
    return torch.autograd.grad(mean, logits)[0]


def gradient_in_the_reward(estimator: Estimator) -> torch.Tensor:
    """sum_y pi(y) k(y) grad log pi(y): the policy gradient of a penalty k."""
    logits = LOGITS.clone().requires_grad_()
    logprobs = logits.log_softmax(0)
    k = kl_estimate(logprobs.detach() - REFERENCE, estimator)
    return torch.autograd.grad((logprobs.detach().exp() * k * logprobs).sum(), logits)[0]


def gradient_of_kl(*, forward: bool = False) -> torch.Tensor:
    """Autograd of KL(pi || reference), or of KL(reference || pi)."""
    logits = LOGITS.clone().requires_grad_()
    logprobs = logits.log_softmax(0)
    kl = (REFERENCE.exp() * (REFERENCE - logprobs)) if forward else (logprobs.exp() * (logprobs - REFERENCE))
    return torch.autograd.grad(kl.sum(), logits)[0]


def true_kl() -> float:
    logprobs = LOGITS.log_softmax(0)
    return (logprobs.exp() * (logprobs - REFERENCE)).sum().item()


def test_k1_and_k3_are_unbiased_and_k2_is_not() -> None:
    assert expectation("k1").item() == pytest.approx(true_kl(), abs=1e-14)
    assert expectation("k3").item() == pytest.approx(true_kl(), abs=1e-14)
    assert abs(expectation("k2").item() - true_kl()) > 0.01


def test_in_the_loss_k1_pulls_nowhere_k2_as_the_kl_and_k3_as_the_kl_the_other_way_round() -> None:
    torch.testing.assert_close(gradient_in_the_loss("k1"), torch.zeros(4).double(), atol=1e-14, rtol=0)
    torch.testing.assert_close(gradient_in_the_loss("k2"), gradient_of_kl(), atol=1e-14, rtol=1e-12)
    torch.testing.assert_close(gradient_in_the_loss("k3"), gradient_of_kl(forward=True), atol=1e-14, rtol=1e-12)


def test_in_the_reward_k1_is_exact_and_the_others_are_not() -> None:
    torch.testing.assert_close(gradient_in_the_reward("k1"), gradient_of_kl(), atol=1e-14, rtol=1e-12)
    for estimator in ("k2", "k3"):
        assert (gradient_in_the_reward(estimator) - gradient_of_kl()).norm() > 0.1 * gradient_of_kl().norm()


def test_k1_in_the_loss_is_refused_with_its_reason() -> None:
    with pytest.raises(FieldError, match=r"gradient of 0 in expectation.*estimator=k2.*k1 off the reward"):
        KL(estimator="k1", place="loss")
    assert KL(estimator="k1", place="reward").place == "reward"


def test_the_term_by_hand() -> None:
    # Log ratios .5 and -1, coefficient .1.
    logprobs = torch.tensor([-1.0, -2.0], dtype=torch.float64)
    row = row_of([2], reference=torch.tensor([-1.5, -1.0], dtype=torch.float64))
    tokens = TokenStatistics(logprobs, torch.zeros_like(logprobs))
    k3 = [0.1065306597, 0.7182818285]  # e^-.5 - 1 + .5, e - 1 - 1
    by_hand: dict[Estimator, list[float]] = {"k2": [0.125, 0.5], "k3": k3}
    for estimator, expected in by_hand.items():
        output = KL(estimator=estimator, place="loss", coefficient=0.1)(tokens, row)
        assert output.per_token.tolist() == pytest.approx([0.1 * k for k in expected], rel=1e-8)
        assert output.diagnostics["kl"].tolist() == pytest.approx(k3, rel=1e-8)


def test_a_token_that_the_reference_never_draws_has_a_finite_penalty_and_gradient() -> None:
    for estimator in ("k2", "k3"):
        log_ratio = torch.tensor([500.0, -500.0], dtype=torch.float64, requires_grad=True)
        k = kl_estimate(log_ratio, estimator)
        (gradient,) = torch.autograd.grad(k.sum(), log_ratio)
        assert k.isfinite().all()
        assert gradient.isfinite().all()

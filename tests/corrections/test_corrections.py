"""Corrections: weights by hand, that the expected gradient is the trainer's, and which engine gets one."""

import math

import pytest
import torch

from rsgrpo.corrections.automatic import Automatic, NoCorrection
from rsgrpo.corrections.base import Correction
from rsgrpo.corrections.mask import SequenceMask, TokenMask
from rsgrpo.corrections.truncate import SequenceTruncate, TokenTruncate
from rsgrpo.errors import FieldError
from tests.losses.rows import row_of

RATIOS = [[4.0, 0.5], [1.05], [0.2, 1.0, 1.0]]
"""pi_old / sampler of the tokens of three completions; the products are 2, 1.05 and .2."""


def weights(correction: Correction) -> list[float]:
    ratios = torch.tensor([ratio for completion in RATIOS for ratio in completion], dtype=torch.float64)
    old = torch.full_like(ratios, -1.0)
    said = correction(old, row_of([len(completion) for completion in RATIOS], sampler=old - ratios.log()))
    assert said.diagnostics["correction_weight"].tolist() == said.per_token.tolist()
    return said.per_token.tolist()


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        (TokenTruncate(cap=2.0), [2.0, 0.5, 1.05, 0.2, 1.0, 1.0]),
        (SequenceTruncate(cap=1.5), [1.5, 1.5, 1.05, 0.2, 0.2, 0.2]),
        (TokenMask(low=0.5, high=2.0), [0.0, 0.5, 1.05, 0.0, 1.0, 1.0]),
        # Geometric means: 2^(1/2) = 1.41, 1.05 and .2^(1/3) = .58; inside, each token keeps its own ratio.
        (SequenceMask(low=0.5, high=1.2), [0.0, 0.0, 1.05, 0.2, 1.0, 1.0]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Correction) else "",
)
def test_weights_by_hand(correction: Correction, expected: list[float]) -> None:
    assert weights(correction) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("correction", "cut"), [(TokenTruncate(cap=2.0), 1 / 6), (TokenMask(low=0.4, high=2.0), 2 / 6)]
)
def test_what_was_cut_is_counted(correction: Correction, cut: float) -> None:
    ratios = torch.tensor([ratio for completion in RATIOS for ratio in completion], dtype=torch.float64)
    old = torch.zeros_like(ratios)
    said = correction(old, row_of([2, 1, 3], sampler=-ratios.log()))
    assert said.diagnostics["correction_cut"].double().mean().item() == pytest.approx(cut, rel=1e-12)


@pytest.mark.parametrize("correction", [TokenTruncate(cap=100.0), SequenceTruncate(cap=100.0)])
def test_a_cap_that_is_never_reached_gives_the_gradient_of_the_trainers_policy(correction: Correction) -> None:
    # Every completion of two tokens over three words, drawn from the sampler: sum q(y) w A grad log pi(y) is
    # sum pi(y) A grad log pi(y), exactly for the product. By token it is so for advantages that depend on one token.
    logits = torch.tensor([0.4, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([0.3, 0.3, -0.5], dtype=torch.float64).log_softmax(0)
    pi = logits.log_softmax(0)
    by_token = isinstance(correction, TokenTruncate)
    found, wanted = torch.zeros(3).double(), torch.zeros(3).double()
    for a in range(3):
        for b in range(3):
            ids = torch.tensor([a, b])
            advantages = ids.double() - 0.7 if by_token else (ids.double().sum() ** 2 - 1.1).expand(2)
            said = correction(pi.detach()[ids], row_of([2], sampler=q[ids]))
            (grad,) = torch.autograd.grad((said.per_token * advantages * pi[ids]).sum(), logits, retain_graph=True)
            (true,) = torch.autograd.grad((advantages * pi[ids]).sum(), logits, retain_graph=True)
            found += q[ids].sum().exp() * grad
            wanted += pi.detach()[ids].sum().exp() * true
    torch.testing.assert_close(found, wanted, atol=1e-14, rtol=1e-12)


def test_only_an_engine_in_half_precision_is_corrected_by_default() -> None:
    assert Automatic(cap=3.0).for_engine(half_precision=True) == TokenTruncate(cap=3.0)
    assert Automatic().for_engine(half_precision=False) is None
    assert NoCorrection().for_engine(half_precision=True) is None
    mask = TokenMask()
    assert mask.for_engine(half_precision=False) is mask


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: TokenTruncate(cap=0.5), "cap"),
        (lambda: SequenceTruncate(cap=math.nan), "cap"),
        (lambda: TokenMask(low=1.2), "low"),
        (lambda: SequenceMask(high=0.95), "high"),
        (lambda: Automatic(cap=0.0), "cap"),
    ],
)
def test_bounds_that_leave_out_one_are_refused(make, field: str) -> None:
    with pytest.raises(FieldError, match=field):
        make()

"""Bayesian boundary gating: the posterior's mean weight, and the gate."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.boundary_gate import BoundaryGate, expected_weight
from rsgrpo.objectives.mahdavi import Mahdavi
from tests.objectives.cases import advantages_of, binary_group


def product(n: int, m: int, k: int) -> float:
    """k prod_(j=1..k-1) (n - m + j) / (n + 1 + j), as it is printed."""
    return k * math.prod((n - m + j) / (n + 1 + j) for j in range(1, k))


@pytest.mark.parametrize("n", [1, 4, 16, 64])
@pytest.mark.parametrize("k", [1, 2, 4, 16, 100])
def test_the_weight_is_the_product(n, k):
    correct = torch.arange(n + 1, dtype=torch.float64)[:, None]
    expected = [product(n, m, k) for m in range(n + 1)]
    assert expected_weight(correct, n, k)[:, 0].tolist() == pytest.approx(expected, rel=1e-12)


def test_by_hand():
    # N = 4, c = 1, k = 2: 2 x 4/6 = 4/3, which is 2 (1 - 2/6): the posterior's mean of p is (c + 1) / (N + 2).
    got = advantages_of(BoundaryGate(k=2), [1.0, 0.0, 0.0, 0.0])
    assert got.tolist() == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3], abs=1e-14)


def test_the_gate_closes_on_prompts_that_are_solved_often_enough():
    objective = BoundaryGate()
    opened = [bool(advantages_of(objective, binary_group(c, 16)).abs().max() > 0) for c in range(1, 16)]
    expected = [product(16, c, 16) >= 0.01 * 17 for c in range(1, 16)]
    assert opened == expected
    assert opened[0]
    assert not opened[-1]
    always = BoundaryGate(threshold=0.0)
    assert all(advantages_of(always, binary_group(c, 16)).abs().max() > 0 for c in range(1, 16))


@pytest.mark.parametrize("accuracy", [0.05, 0.25, 0.5])
def test_in_large_groups_it_is_mahdavis_weight(accuracy):
    n = 4000
    group = binary_group(round(accuracy * n), n)
    gate, plain = (advantages_of(o, group)[0, 0].item() for o in (BoundaryGate(k=4, threshold=0.0), Mahdavi(k=4)))
    assert gate == pytest.approx(plain, rel=0.01)


def test_a_k_larger_than_the_group_is_no_trouble():
    assert advantages_of(BoundaryGate(k=256, threshold=0.0), binary_group(1, 8)).isfinite().all()


def test_a_gate_that_would_never_open_is_refused_and_the_cure_works():
    with pytest.raises(FieldError, match=r"threshold=1.0 closes the gate on every group of N = 16") as error:
        advantages_of(BoundaryGate(threshold=1.0), binary_group(1, 16))
    cured = float(error.value.cure.removeprefix("try threshold="))
    assert advantages_of(BoundaryGate(threshold=cured), binary_group(1, 16)).abs().max() > 0


def test_partial_credit_is_refused():
    with pytest.raises(UserError, match=r"objective boundary_gate .*0 and 1 only.*objective=MaxPO\(\)"):
        advantages_of(BoundaryGate(), [0.5, 0.0])


@pytest.mark.parametrize("fields", [{"k": 0}, {"threshold": 1.5}, {"threshold": -0.1}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        BoundaryGate(**fields)

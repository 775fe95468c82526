"""Mahdavi's reweighting: its weight, how biased it is, and the variant that is not."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.mahdavi import Mahdavi, failure_weight
from rsgrpo.objectives.rspo import RSPO
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import (
    BINARY,
    best_of,
    cosine,
    expected_gradient,
    gradient,
    weight,
    weight_of_large_groups,
)


def test_by_hand():
    # 1 of 4 correct, k = 2: weight 2 (3/4) = 3/2, times 3/4 and -1/4.
    assert advantages_of(Mahdavi(k=2), [1.0, 0.0, 0.0, 0.0]).tolist() == [9 / 8, -3 / 8, -3 / 8, -3 / 8]
    # The standard deviation of the group itself is sqrt(3)/4.
    unit = 3 / 2 / math.sqrt(3)
    got = advantages_of(Mahdavi(k=2, estimator="grpo"), [1.0, 0.0, 0.0, 0.0]).tolist()
    assert got == pytest.approx([3 * unit, -unit, -unit, -unit], abs=1e-14)
    # Unbiased, 2 of 4 correct, k = 2: of the 3 others 2 are wrong, so a subset of one fails with chance 2/3.
    assert advantages_of(Mahdavi(k=2, estimator="unbiased"), [1.0, 1.0, 0.0, 0.0]).tolist() == pytest.approx(
        [4 / 3, 4 / 3, 0, 0], abs=1e-13
    )


@pytest.mark.parametrize("k", [1, 2, 4, 40])
@pytest.mark.parametrize("correct", [0, 1, 9, 16])
def test_the_weight_is_the_derivative_of_pass_at_k(k, correct):
    # At k = 1 it is 1 everywhere: nobody's prompt counts less. No k is too large for it.
    p = torch.tensor(correct / 16, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(1 - (1 - p) ** k, p)
    assert failure_weight(binary_group(correct, 16), k).item() == pytest.approx(derivative.item(), rel=1e-13)


@pytest.mark.parametrize(("k", "scale"), [(2, 0.596), (3, 0.490), (4, 0.412)])
def test_the_plain_estimate_is_too_small_by_the_documented_share(k, scale):
    assert weight(Mahdavi(k=k), 4, 0.15) / (k * 0.85 ** (k - 1)) == pytest.approx(scale, abs=5e-4)


@pytest.mark.parametrize("estimator", ["plain", "grpo"])
@pytest.mark.parametrize("k", [2, 3])
def test_biased_estimates_have_the_right_direction_in_each_prompt(estimator, k):
    got = expected_gradient(Mahdavi(k=k, estimator=estimator), BINARY, 4)
    assert cosine(got, gradient(best_of(k), BINARY, 4)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_unbiased_estimate_has_the_gradient_of_pass_at_k(k):
    truth = gradient(best_of(k), BINARY, 4)
    got = expected_gradient(Mahdavi(k=k, estimator="unbiased"), BINARY, 4)
    torch.testing.assert_close(got, truth, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_the_unbiased_estimate_is_rspo(k):
    groups = torch.cat([binary_group(c, 8) for c in range(9)])
    unbiased = advantages_of(Mahdavi(k=k, estimator="unbiased"), groups)
    for metric in ("pass_at_k", "max_at_k"):
        torch.testing.assert_close(unbiased, advantages_of(RSPO(k=k, metric=metric), groups), atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_its_weight_of_a_prompt_as_groups_grow(p):
    expected = 4 * (1 - p) ** 3
    assert weight_of_large_groups(Mahdavi(), p) == pytest.approx(expected, rel=1e-12)
    divided = weight_of_large_groups(Mahdavi(estimator="grpo"), p)
    assert divided == pytest.approx(expected / math.sqrt(p * (1 - p)), rel=1e-12)


def test_it_never_quite_vanishes_below_full_accuracy():
    # Chen's is exactly 0 above N - k correct; this one is tiny.
    assert advantages_of(Mahdavi(), binary_group(15, 16)).ne(0).all()


@pytest.mark.parametrize("estimator", ["plain", "grpo", "unbiased"])
@pytest.mark.parametrize("rewards", [[0.0, 0.5, 1.0], [0.0, 2.0, 1.0], [-1.0, 1.0, 0.0]])
def test_other_rewards_than_0_and_1_are_refused(estimator, rewards):
    wrong = next(f"{r:g}" for r in rewards if r not in (0, 1))
    with pytest.raises(UserError, match=rf"objective mahdavi .*rewards of 0 and 1 only and got {wrong};.*=MaxPO\(\)"):
        advantages_of(Mahdavi(k=2, estimator=estimator), rewards)


def test_a_k_too_large_is_refused_where_subsets_are_drawn():
    assert advantages_of(Mahdavi(k=4, estimator="unbiased"), [1.0, 0.0, 0.0, 0.0]).tolist() == [4.0, 0, 0, 0]
    with pytest.raises(FieldError, match=r"k=5 is too large for mahdavi .*try k=4"):
        advantages_of(Mahdavi(k=5, estimator="unbiased"), [1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("fields", [{"k": 0}, {"eps": -1e-6}, {"eps": math.nan}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        Mahdavi(**fields)


def test_an_unknown_estimator_is_refused(unchecked):
    with pytest.raises(FieldError, match="estimator=std is unknown; choose one of plain, grpo, unbiased"):
        Mahdavi(estimator="std")  # pyright: ignore[reportArgumentType]

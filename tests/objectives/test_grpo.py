"""GRPO's advantages: values by hand, and what they estimate by exact enumeration."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.grpo import GRPO, mean_baseline, std_normalized
from tests.objectives.cases import advantages_of, composed
from tests.objectives.enumeration import (
    BINARY,
    CONTINUOUS,
    cosine,
    expected_gradient,
    gradient,
    mean_reward,
    scale,
    weight_of_large_groups,
)

STD = GRPO(normalize_std=True)
LONE_SUCCESS = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64)  # the action of probability .15


def test_mean_baseline_by_hand():
    # The mean of (1, 0.5, 0, 0.5) is 0.5; of (4, 0, 0, 0) it is 1.
    rewards = torch.tensor([[1.0, 0.5, 0.0, 0.5], [4.0, 0.0, 0.0, 0.0]])
    assert mean_baseline(rewards).tolist() == [[0.5, 0.0, -0.5, 0.0], [3.0, -1.0, -1.0, -1.0]]


def test_std_normalized_by_hand():
    # (3, 1, 1, 3): mean 2, deviations all 1, unbiased variance 4/3 and that of the group 1.
    rewards = torch.tensor([[3.0, 1.0, 1.0, 3.0]], dtype=torch.float64)
    for ddof, deviation in ((1, 2 / math.sqrt(3)), (0, 1.0)):
        for eps in (0.0, 1e-6, 0.5):
            a = 1 / (deviation + eps)
            got = std_normalized(rewards, ddof=ddof, eps=eps)[0].tolist()
            assert got == pytest.approx([a, -a, -a, a], abs=1e-13), (ddof, eps)


def test_the_fields_choose_the_advantage():
    rewards = [3.0, 1.0, 1.0, 3.0]
    assert advantages_of(GRPO(), rewards).tolist() == [1.0, -1.0, -1.0, 1.0]
    assert advantages_of(STD, rewards)[0].item() == pytest.approx(math.sqrt(3) / 2, abs=1e-13)
    assert advantages_of(GRPO(normalize_std=True, ddof=0, eps=1.0), rewards).tolist() == [0.5, -0.5, -0.5, 0.5]
    # Both are of the standard deviation: nothing without it.
    assert advantages_of(GRPO(ddof=0, eps=1.0), rewards).tolist() == [1.0, -1.0, -1.0, 1.0]


def test_dr_grpo_is_grpo_without_the_standard_deviation():
    assert composed("dr_grpo") == GRPO(normalize_std=False)


@pytest.mark.parametrize("fields", [{"ddof": 2}, {"ddof": -1}, {"eps": -1e-6}, {"eps": math.inf}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        GRPO(**fields)


@pytest.mark.parametrize("objective", [GRPO(), STD])
def test_a_group_of_one_is_refused(objective):
    with pytest.raises(UserError, match=r"objective grpo .*completions_per_prompt=1 .*objective=Reinforce\(\)"):
        advantages_of(objective, [1.0])


def test_normalize_std_must_be_true_or_false(unchecked):
    with pytest.raises(FieldError, match="normalize_std"):
        GRPO(normalize_std=1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 1000.1])
@pytest.mark.parametrize("completions", [7, 16])
def test_equal_rewards_give_zero_advantage_with_the_standard_deviation_too(reward, completions):
    # The rounding of the mean must not be divided by a standard deviation that is rounding itself.
    assert std_normalized(torch.full((1, completions), reward)).eq(0).all()


def test_large_rewards_do_not_overflow_in_float32():
    # Their squares, 1e60, are no float32. (1e30, 0, 0, 0): mean 1/4, unbiased deviation 1/2.
    got = std_normalized(torch.tensor([[1e30, 0.0, 0.0, 0.0]]))
    assert got[0].tolist() == pytest.approx([1.5, -0.5, -0.5, -0.5], rel=1e-6)


@pytest.mark.parametrize("normalized", [False, True])
def test_advantages_of_a_group_sum_to_zero(normalized):
    rewards = torch.tensor([[0.0, 0.2, 0.5, 1.0], [-3.0, 2.0, 7.0, 0.5]], dtype=torch.float64)
    sums = (std_normalized if normalized else mean_baseline)(rewards).sum(dim=1)
    assert sums.abs().max().item() < 1e-14


@pytest.mark.parametrize("rewards", [CONTINUOUS, BINARY], ids=["continuous", "binary"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_mean_baseline_estimates_exactly_n_minus_1_over_n_of_the_true_gradient(rewards, n):
    # The baseline holds r_i / N, so 1/N of the gradient is subtracted; the others' rewards cost nothing.
    expected = (n - 1) / n * gradient(mean_reward, rewards, n)
    torch.testing.assert_close(expected_gradient(GRPO(), rewards, n), expected, atol=1e-15, rtol=1e-10)


@pytest.mark.parametrize(
    ("rewards", "size", "direction"),
    [(CONTINUOUS, 2.53, 0.980), (LONE_SUCCESS, 1.45, 1.0)],
    ids=["continuous", "binary, p = .15"],
)
def test_with_the_standard_deviation_it_is_biased_by_the_documented_numbers(rewards, size, direction):
    estimate, truth = expected_gradient(STD, rewards, 4), gradient(mean_reward, rewards, 4)
    assert scale(estimate, truth) == pytest.approx(size, abs=5e-3)
    assert cosine(estimate, truth) == pytest.approx(direction, abs=5e-4 if direction < 1 else 1e-12)


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9])
def test_std_normalized_weighs_a_prompt_by_its_reward_deviation_as_groups_grow(p):
    # A group of 1000 with exactly a share p correct: A+ - A- is the weight of grad p, 1 / sqrt(p (1 - p)) at N -> inf;
    # with the unbiased deviation it is sqrt(999/1000) of that.
    assert weight_of_large_groups(STD, p) == pytest.approx(math.sqrt(0.999 / (p * (1 - p))), rel=1e-12)

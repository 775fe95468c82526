"""GRPO's advantages: values by hand, and what they estimate by exact enumeration."""

import itertools
import json
import math
from collections.abc import Iterator

import jaxtyping
import pytest
import torch

from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.objectives.grpo import GRPO, mean_baseline, std_normalized
from rsgrpo.types import FieldError

# A softmax policy over M = 4 actions, each with a reward of its own.
POLICY = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
CONTINUOUS = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
BINARY = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No runtime type checks, as in a real run: the class itself has to refuse a value of the wrong kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def expected_gradient(estimator, rewards, n=4):
    """E[(1/N) sum_i A_i grad log pi(y_i)] over all M^N groups, by the logits: grad log pi = onehot - pi."""
    groups = torch.tensor(list(itertools.product(range(len(POLICY)), repeat=n)))
    chances = POLICY[groups].prod(dim=1)
    scores = (torch.eye(len(POLICY), dtype=torch.float64) - POLICY)[groups]
    return torch.einsum("g,gi,gij->j", chances, estimator(rewards[groups]), scores) / n


def true_gradient(rewards):
    """grad E[r]: the derivative of sum_y pi_y r_y by logit y is pi_y (r_y - E r)."""
    return POLICY * (rewards - (POLICY * rewards).sum())


def cosine(a, b):
    return (a @ b / (a.norm() * b.norm())).item()


def test_mean_baseline_by_hand():
    # The mean of (1, 0.5, 0, 0.5) is 0.5; of (4, 0, 0, 0) it is 1.
    rewards = torch.tensor([[1.0, 0.5, 0.0, 0.5], [4.0, 0.0, 0.0, 0.0]])
    assert mean_baseline(rewards).tolist() == [[0.5, 0.0, -0.5, 0.0], [3.0, -1.0, -1.0, -1.0]]


def test_std_normalized_by_hand():
    # (3, 1, 1, 3): mean 2, deviations all 1, unbiased variance 4/3, so A = +-sqrt(3)/2 up to the epsilon:
    # 1 / (2/sqrt(3) + 1e-6) = 0.8660254 (1 - 0.866e-6). The biased variance (1) would give +-1.
    a = 1 / (2 / math.sqrt(3) + 1e-6)
    got = std_normalized(torch.tensor([[3.0, 1.0, 1.0, 3.0]], dtype=torch.float64))
    torch.testing.assert_close(got, torch.tensor([[a, -a, -a, a]], dtype=torch.float64), atol=1e-15, rtol=0)


def test_normalize_std_chooses_the_advantage():
    rewards = torch.tensor([[3.0, 1.0, 1.0, 3.0]])
    context = AdvantageContext(iteration=1, prompt_ids=["a"], sampler_logprobs=torch.zeros(1, 4))
    assert GRPO().advantages(rewards, context).tolist() == [[1.0, -1.0, -1.0, 1.0]]
    assert GRPO(normalize_std=True).advantages(rewards, context)[0, 0].item() == pytest.approx(0.8660246, abs=1e-6)


def test_normalize_std_must_be_true_or_false(unchecked):
    with pytest.raises(FieldError, match="normalize_std"):
        GRPO(normalize_std=1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 1000.1])
@pytest.mark.parametrize("completions", [7, 16])
def test_equal_rewards_give_zero_advantage_with_the_standard_deviation_too(reward, completions):
    # The rounding of the mean must not be divided by a standard deviation that is rounding itself.
    assert std_normalized(torch.full((1, completions), reward)).abs().max().item() < 1e-6


@pytest.mark.parametrize("normalized", [False, True])
def test_advantages_of_a_group_sum_to_zero(normalized):
    rewards = torch.tensor([[0.0, 0.2, 0.5, 1.0], [-3.0, 2.0, 7.0, 0.5]], dtype=torch.float64)
    sums = (std_normalized if normalized else mean_baseline)(rewards).sum(dim=1)
    assert sums.abs().max().item() < 1e-14


@pytest.mark.parametrize(
    ("name", "estimator"), [("mean_baseline", mean_baseline), ("grpo_std_ddof1_eps1e-6", std_normalized)]
)
def test_reference_vectors(shared, name, estimator):
    reference = json.loads((shared / "reference" / "vectors.json").read_text())
    for case, expected in reference["values"][name].items():
        rewards = torch.tensor([reference["inputs"][case]], dtype=torch.float64)
        assert estimator(rewards)[0].tolist() == pytest.approx(expected, abs=1e-11), case


@pytest.mark.parametrize("rewards", [CONTINUOUS, BINARY], ids=["continuous", "binary"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_mean_baseline_estimates_exactly_n_minus_1_over_n_of_the_true_gradient(rewards, n):
    # The baseline holds r_i / N, so 1/N of the gradient is subtracted; the others' rewards cost nothing.
    expected = (n - 1) / n * true_gradient(rewards)
    torch.testing.assert_close(expected_gradient(mean_baseline, rewards, n), expected, atol=1e-15, rtol=1e-13)


def test_std_normalized_points_elsewhere_for_continuous_rewards():
    estimate, truth = expected_gradient(std_normalized, CONTINUOUS), true_gradient(CONTINUOUS)
    assert cosine(estimate, truth) == pytest.approx(0.980, abs=5e-4)
    assert (estimate @ truth / (truth @ truth)).item() == pytest.approx(2.53, abs=5e-3)


def test_std_normalized_has_the_right_direction_and_a_wrong_scale_for_binary_rewards():
    estimate, truth = expected_gradient(std_normalized, BINARY), true_gradient(BINARY)
    assert cosine(estimate, truth) == pytest.approx(1, abs=1e-12)
    assert (estimate.norm() / truth.norm()).item() > 1.4


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9])
def test_std_normalized_weighs_a_prompt_by_its_reward_deviation_as_groups_grow(p):
    # A group of 1000 with exactly a share p correct: A+ - A- is the weight of grad p, 1 / sqrt(p (1 - p)) at N -> inf;
    # with the unbiased deviation it is sqrt(999/1000) of that.
    n = 1000
    rewards = (torch.arange(n, dtype=torch.float64) < p * n).double()[None]
    a = std_normalized(rewards)[0]
    assert (a[0] - a[-1]).item() == pytest.approx(math.sqrt(0.999 / (p * (1 - p))), rel=1e-5)

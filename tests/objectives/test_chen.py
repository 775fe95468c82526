"""Chen's Pass@k Training: the published binary form, its continuous reading, where it vanishes, what it estimates."""

import itertools
import math

import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.objectives.chen import Chen
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import (
    BINARY,
    REWARDS,
    best_of,
    cosine,
    expected_gradient,
    gradient,
    weight_of_large_groups,
)

CENTRED = {"normalize_std": False}


def published(n, c, k, eps):
    """(A+, A-) as published: rho = 1 - C(N-c, k)/C(N, k), sigma = sqrt(rho (1 - rho)), by whole-number binomials."""
    rho = 1 - math.comb(n - c, k) / math.comb(n, k)
    sigma = math.sqrt(rho * (1 - rho)) + eps
    return (1 - rho) / sigma, (1 - rho - math.comb(n - c - 1, k - 1) / math.comb(n - 1, k - 1)) / sigma


def of_subsets(rewards, k):
    """In words: how much better are the k-subsets that hold i than all, in units of the deviation among subsets."""
    n = len(rewards)
    best = {s: max(rewards[j] for j in s) for s in itertools.combinations(range(n), k)}
    mean = sum(best.values()) / len(best)
    sigma = math.sqrt(sum((b - mean) ** 2 for b in best.values()) / len(best))
    own = [[b for s, b in best.items() if i in s] for i in range(n)]
    return [(sum(o) / len(o) - mean) / sigma for o in own]


@pytest.mark.parametrize("eps", [0.0, 1e-6])
@pytest.mark.parametrize(("n", "k"), [(8, 2), (8, 4), (8, 7), (16, 4)])
def test_binary_closed_form_as_published(n, k, eps):
    for c in range(1, n - k + 1):
        a = advantages_of(Chen(k=k, eps=eps), binary_group(c, n))[0].tolist()
        right, wrong = published(n, c, k, eps)
        assert a == pytest.approx([right] * c + [wrong] * (n - c), abs=1e-12), c


@pytest.mark.parametrize("k", [2, 4, 7])
def test_it_vanishes_when_every_subset_holds_a_correct_one(k):
    for c in range(9):
        a = advantages_of(Chen(k=k), binary_group(c, 8))[0]
        assert a.eq(0).all() if c == 0 or c > 8 - k else a.ne(0).all(), c


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("rewards", [[0.2, 0.9, 0.0, 0.55, 1.0, 0.31], [-1.0, 2.0, 1.5, 1.5, -1.0, -3.0]])
def test_the_same_words_hold_for_any_reward(rewards, k):
    assert advantages_of(Chen(k=k), rewards).tolist() == pytest.approx(of_subsets(rewards, k), abs=1e-13)


@pytest.mark.parametrize("fields", [{}, CENTRED])
def test_advantages_of_a_group_sum_to_zero_and_ignore_a_constant(fields):
    rewards = torch.tensor([0.0, 0.2, 0.5, 1.0, 0.7, 0.1], dtype=torch.float64)
    a = advantages_of(Chen(**fields), rewards)
    assert abs(a.sum().item()) < 1e-14
    torch.testing.assert_close(advantages_of(Chen(**fields), rewards - 3), a, atol=1e-14, rtol=0)


def test_at_k_1_it_is_grpo_with_the_standard_deviation_of_the_group():
    # Subsets of one: m_i = r_i, and their deviation is that of the rewards. (4, 0, 0, 0): mean 1, deviation sqrt(3).
    assert advantages_of(Chen(k=1), [4.0, 0.0, 0.0, 0.0]).tolist() == pytest.approx(
        [3 / math.sqrt(3)] + [-1 / math.sqrt(3)] * 3, abs=1e-14
    )


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_without_sigma_k_times_it_is_a_known_share_of_the_gradient(kind, k):
    # (1 - k/N): .75, .5, .25 in groups of 4.
    truth = gradient(best_of(k), REWARDS[kind], 4)
    got = k * expected_gradient(Chen(k=k, normalize_std=False), REWARDS[kind], 4)
    torch.testing.assert_close(got, (1 - k / 4) * truth, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("k", [2, 3])
def test_with_sigma_the_direction_is_right_for_binary_rewards(k):
    got = expected_gradient(Chen(k=k), BINARY, 4)
    assert cosine(got, gradient(best_of(k), BINARY, 4)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5])
def test_its_weight_of_a_prompt_as_groups_grow(p):
    # (1-p)^(k/2-1) / sqrt(1 - (1-p)^k), up to O(1/N).
    expected = (1 - p) ** (4 / 2 - 1) / math.sqrt(1 - (1 - p) ** 4)
    assert weight_of_large_groups(Chen(k=4), p, n=10**5) == pytest.approx(expected, rel=1e-4)


def test_a_k_that_leaves_nothing_is_refused():
    # With k = N there is one subset, which everyone is in.
    with pytest.raises(FieldError, match=r"k=4 is too large for chen .*at most N - 1; try k=3,"):
        advantages_of(Chen(), [1.0, 0.0, 0.0, 0.0])
    assert advantages_of(Chen(k=3), [1.0, 0.0, 0.0, 0.0]).ne(0).all()


def test_groups_of_one_have_no_k_at_all():
    with pytest.raises(FieldError, match=r"k=1 is too large .*use larger groups"):
        advantages_of(Chen(k=1), [1.0])


@pytest.mark.parametrize("fields", [{"k": 0}, {"eps": -1e-6}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        Chen(**fields)

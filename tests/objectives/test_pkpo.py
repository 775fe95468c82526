"""PKPO: three unbiased estimates of max@k, against their definitions over subsets."""

import itertools
import math

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rspo import RSPO
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import REWARDS, best_of, expected_gradient, gradient, moments

RANDOM = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TIED = torch.tensor([[0.5, -1.0, 0.5, 2.0, 2.0, 0.0]], dtype=torch.float64)
GROUPS = [*RANDOM, TIED[0]]

CHOICES = [("s", 0), ("s_loo", 1), ("s_loo_minus_one", 0)]
"""Estimator, and by how much k must be below N."""


def subset_means(rewards, k):
    """s_i as published: C(N, k)^-1 times the sum over the k-subsets that hold i of their maximum; and rho, the mean."""
    n = len(rewards)
    subsets = list(itertools.combinations(range(n), k))
    best = {s: max(rewards[j] for j in s) for s in subsets}
    s = [sum(best[t] for t in subsets if i in t) / len(subsets) for i in range(n)]
    return s, sum(best.values()) / len(subsets)


def leave_one_out(rewards, k):
    """s_loo_i = s_i - (1/(N-1)) sum_(j != i) s_j, those s_j computed in the group without i."""
    n = len(rewards)
    s, _ = subset_means(rewards, k)
    return [s[i] - sum(subset_means(rewards[:i] + rewards[i + 1 :], k)[0]) / (n - 1) for i in range(n)]


def leave_one_out_minus_one(rewards, k):
    """C(N, k)^-1 sum over the k-subsets that hold i of (their maximum - that of the subset without i)."""
    n = len(rewards)
    subsets = list(itertools.combinations(range(n), k))
    return [
        sum(max(rewards[j] for j in t) - max(rewards[j] for j in t if j != i) for t in subsets if i in t) / len(subsets)
        for i in range(n)
    ]


@pytest.mark.parametrize("rewards", GROUPS, ids=["a", "b", "c", "ties"])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 6])
def test_s_is_n_times_its_definition(rewards, k):
    expected = [6 * s for s in subset_means(rewards.tolist(), k)[0]]
    assert advantages_of(PKPO(k=k, estimator="s"), rewards).tolist() == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("rewards", GROUPS, ids=["a", "b", "c", "ties"])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_s_loo_is_n_times_its_definition(rewards, k):
    expected = [6 * s for s in leave_one_out(rewards.tolist(), k)]
    assert advantages_of(PKPO(k=k, estimator="s_loo"), rewards).tolist() == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("rewards", GROUPS, ids=["a", "b", "c", "ties"])
@pytest.mark.parametrize("k", [2, 3, 5, 6])
def test_s_loo_minus_one_is_n_times_its_definition(rewards, k):
    expected = [6 * s for s in leave_one_out_minus_one(rewards.tolist(), k)]
    assert advantages_of(PKPO(k=k), rewards).tolist() == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("rewards", GROUPS, ids=["a", "b", "c", "ties"])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_their_sums(rewards, k):
    # sum s = k rho; sum s_loo = k rho - (1/(N-1)) sum_i k rho_(-i) = k rho - N k rho/(N-1) = -k rho/(N-1).
    rho = subset_means(rewards.tolist(), k)[1]
    s = advantages_of(PKPO(k=k, estimator="s"), rewards) / 6
    s_loo = advantages_of(PKPO(k=k, estimator="s_loo"), rewards) / 6
    assert s.sum().item() == pytest.approx(k * rho, abs=1e-13)
    assert s_loo.sum().item() == pytest.approx(-k * rho / 5, abs=1e-13)


@pytest.mark.parametrize("correct", [0, 1, 3, 5, 6, 8])
@pytest.mark.parametrize("k", [2, 4, 8])
def test_binary_closed_forms(correct, k):
    # Correct: s = k/N; wrong: k/N times pass@(k-1) of the 7 others, all c of the correct ones among them.
    n, c = 8, correct
    s = advantages_of(PKPO(k=k, estimator="s"), binary_group(c, n))[0].tolist()
    assert s[:c] == pytest.approx([k] * c, abs=1e-14)
    if c < n:
        assert s[c:] == pytest.approx([k * (1 - math.comb(n - 1 - c, k - 1) / math.comb(n - 1, k - 1))] * (n - c))
    # s_loo_minus_one of a correct one: the k - 1 others all have to be wrong; wrong ones get exactly nothing.
    less = advantages_of(PKPO(k=k), binary_group(c, n))[0].tolist()
    assert less[:c] == pytest.approx([k * math.comb(n - c, k - 1) / math.comb(n - 1, k - 1)] * c, abs=1e-14)
    assert less[c:] == [0.0] * (n - c)


def test_groups_that_are_all_correct_still_teach_two_of_them():
    ones = [1.0] * 4
    assert advantages_of(PKPO(k=2, estimator="s"), ones).tolist() == [4 * 0.5] * 4
    assert advantages_of(PKPO(k=2, estimator="s_loo"), ones).tolist() == pytest.approx([-4 / 6] * 4, abs=1e-13)
    assert advantages_of(PKPO(k=2), ones).tolist() == [0.0] * 4


def test_at_k_1_s_is_reinforce():
    rewards = [0.2, -1.0, 3.0]
    assert advantages_of(PKPO(k=1, estimator="s"), rewards).tolist() == pytest.approx(rewards, abs=1e-13)


@pytest.mark.parametrize(
    "objective", [PKPO(k=1), RSPO(k=1), RSPO(k=1, metric="pass_at_k"), Mahdavi(k=1, estimator="unbiased")]
)
def test_at_k_1_what_is_added_to_nobody_is_counted_from_the_mean_of_the_others(objective):
    # RLOO: (1 - 1/3, 0 - 2/3, 1 - 1/3, 0 - 2/3) for two of four, and nothing where all are equal.
    assert advantages_of(objective, [1.0, 0.0, 1.0, 0.0]).tolist() == pytest.approx([2 / 3, -2 / 3] * 2, abs=1e-13)
    assert advantages_of(objective, [1.0] * 4).tolist() == [0.0] * 4
    with pytest.raises(UserError, match="completions_per_prompt=1 leaves none"):
        advantages_of(objective, [1.0])


@pytest.mark.parametrize("k", [2, 3])
def test_a_constant_matters_to_all_but_s_loo_minus_one(k):
    rewards = RANDOM[:1]
    shifts = ((PKPO(k=k, estimator="s"), k), (PKPO(k=k, estimator="s_loo"), -k / 5), (PKPO(k=k), 0.0))
    for objective, shift in shifts:
        # All maxima grow by 1, so s grows by k/N and s_loo, which sums to -k rho/(N-1), by its share of that.
        change = advantages_of(objective, rewards + 1) - advantages_of(objective, rewards)
        torch.testing.assert_close(change, torch.full_like(rewards, shift), atol=1e-13, rtol=0)


@pytest.mark.parametrize(
    ("estimator", "k"), [(estimator, k) for estimator, less in CHOICES for k in range(1, 5 - less)]
)
@pytest.mark.parametrize("kind", REWARDS)
def test_its_expected_gradient_is_that_of_max_at_k(kind, estimator, k):
    truth = gradient(best_of(k), REWARDS[kind], 4)
    got = expected_gradient(PKPO(k=k, estimator=estimator), REWARDS[kind], 4)
    torch.testing.assert_close(got, truth, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "deviations"),
    [("s", [0.181, 0.257, 0.418]), ("s_loo", [0.150, 0.101, 0.098]), ("s_loo_minus_one", [0.155, 0.061, 0.045])],
)
def test_its_standard_deviation_for_pass_at_4_in_groups_of_16(estimator, deviations):
    for p, truth, deviation in zip((0.05, 0.25, 0.6), (0.1629, 0.3164, 0.0614), deviations, strict=True):
        mean, got = moments(PKPO(k=4, estimator=estimator), 16, p)
        assert mean == pytest.approx(4 * (1 - p) ** 3 * p * (1 - p), rel=1e-10)
        assert mean == pytest.approx(truth, abs=5.1e-5)
        assert got == pytest.approx(deviation, abs=5.1e-4)


@pytest.mark.parametrize(("estimator", "less"), CHOICES)
def test_a_k_too_large_is_refused(estimator, less):
    largest = 4 - less
    assert advantages_of(PKPO(k=largest, estimator=estimator), [1.0, 0.0, 0.0, 0.0]).isfinite().all()
    limit = "N - 1" if less else "N"
    with pytest.raises(FieldError, match=rf"k={largest + 1} is too large for pkpo .*at most {limit};") as error:
        advantages_of(PKPO(k=largest + 1, estimator=estimator), [1.0, 0.0, 0.0, 0.0])
    assert error.value.cure.startswith(f"try k={largest},")


@pytest.mark.parametrize("k", [0, -1])
def test_a_k_below_1_is_refused(k):
    with pytest.raises(FieldError, match="k="):
        PKPO(k=k)


def test_an_unknown_estimator_is_refused(unchecked):
    with pytest.raises(FieldError, match="estimator=loo is unknown; choose one of s, s_loo, s_loo_minus_one"):
        PKPO(estimator="loo")  # pyright: ignore[reportArgumentType]

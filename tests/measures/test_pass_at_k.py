"""pass@k against counting all subsets."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from rsgrpo.errors import UserError
from rsgrpo.measures.pass_at_k import ladder, mean_pass_at_k, pass_at_k, rungs


def counted(n: int, correct: int, k: int) -> Fraction:
    """The share of the k-subsets of n samples that hold one of the first `correct`."""
    subsets = list(itertools.combinations(range(n), k))
    return Fraction(sum(any(i < correct for i in subset) for subset in subsets), len(subsets))


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n):
    for correct, k in itertools.product(range(n + 1), range(1, n + 1)):
        assert pass_at_k(n, correct, k) == pytest.approx(float(counted(n, correct, k)), abs=1e-13), (correct, k)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_pass_at_k_is_unbiased(k):
    # Over all 2^5 outcomes of five samples with p = 1/4 its mean is 1 - (3/4)^k.
    mean = 0.0
    for outcome in itertools.product((0, 1), repeat=5):
        chance = 0.25 ** sum(outcome) * 0.75 ** (5 - sum(outcome))
        mean += chance * pass_at_k(5, sum(outcome), k)
    assert mean == pytest.approx(1 - 0.75**k, abs=1e-14)


def test_values_by_hand():
    # 3 of 16 correct, k = 2: 1 - (13/16)(12/15) = 1 - 0.65.
    assert pass_at_k(16, 3, 2) == pytest.approx(0.35, abs=1e-13)
    assert pass_at_k(16, 0, 16) == 0
    assert pass_at_k(16, 16, 1) == 1
    # 13 wrong ones cannot fill 14 places.
    assert pass_at_k(16, 3, 14) == 1


def test_large_counts_do_not_overflow():
    # 1 of 1024 correct: it is among k of them with chance k / 1024.
    assert pass_at_k(1024, 1, 512) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 1, 0), (4, 1, 5), (4, -1, 2), (4, 5, 2), (0, 0, 1)])
def test_counts_that_make_no_sense_are_refused(n, correct, k):
    with pytest.raises(ValueError, match=f"pass@{k} needs"):
        pass_at_k(n, correct, k)


def test_the_mean_is_over_problems_and_not_over_samples():
    # pass@1 is 1/2 and 1/8, pass@2 is 1 and 2/8; problems with more samples do not count more.
    assert mean_pass_at_k([(2, 1), (8, 1)], [1, 2]) == pytest.approx({"pass@1": 0.3125, "pass@2": 0.625}, abs=1e-13)


def test_no_problems_are_refused():
    with pytest.raises(UserError, match="empty"):
        mean_pass_at_k([], [1])


def test_a_ladder_has_the_values_of_its_rungs():
    n, correct = np.array([8, 16, 9]), np.array([1, 0, 9])
    found = ladder(n, correct, [1, 2, 8])
    for k, values in found.items():
        assert values.tolist() == [pass_at_k(int(a), int(b), k) for a, b in zip(n, correct, strict=True)]
    assert rungs(1) == [1]
    assert rungs(64) == [1, 2, 4, 8, 16, 32, 64]

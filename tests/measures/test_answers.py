"""Majority votes against counting all subsets; how many answers differ."""

import itertools
from collections import Counter
from fractions import Fraction

import pytest

from rsgrpo.measures.answers import answer_entropy, majority_at_k, unique_at_k


def counted(votes: list[int], right: list[bool], n: int, k: int) -> float:
    """The mean over the k-subsets of n samples of the chance that a fair lot among the leading answers is right."""
    samples: list[int | None] = [j for j, count in enumerate(votes) for _ in range(count)]
    samples += [None] * (n - len(samples))
    total, subsets = Fraction(0), list(itertools.combinations(samples, k))
    for subset in subsets:
        polled = Counter(answer for answer in subset if answer is not None)
        leading = [j for j, count in polled.items() if count == max(polled.values())]
        total += Fraction(sum(right[j] for j in leading), len(leading)) if leading else 0
    return float(total / len(subsets))


CASES = [
    ([1], [True], 3),
    ([3, 2, 2], [True, False, False], 8),
    ([2, 2, 1, 1, 1], [False, True, False, True, False], 8),
    ([1, 1, 1, 1, 1, 1], [True, False, False, False, False, False], 7),
    ([4, 4], [True, False], 8),
    ([5, 1], [False, True], 9),
    ([2, 3], [True, True], 6),
    ([], [], 4),
]


@pytest.mark.parametrize(("votes", "right", "n"), CASES)
def test_majority_is_the_mean_over_subsets(votes, right, n):
    for k in range(1, n + 1):
        assert majority_at_k(votes, right, n, k) == pytest.approx(counted(votes, right, n, k), abs=1e-12), k


def test_one_vote_is_pass_at_1_and_many_votes_find_the_leading_answer():
    assert majority_at_k([6, 3], [True, False], 10, 1) == pytest.approx(0.6)
    votes, right = [400, 300, *[1] * 200], [True, *[False] * 201]
    chances = [majority_at_k(votes, right, 1024, k) for k in (1, 4, 16, 64, 256)]
    assert chances == sorted(chances)
    assert chances[0] == pytest.approx(400 / 1024)
    assert chances[-1] > 0.95


def test_a_lot_decides_among_all_that_lead():
    # One of each of four answers: whichever k are drawn, each of the k leads.
    for k in (1, 2, 3, 4):
        assert majority_at_k([1, 1, 1, 1], [True, False, False, False], 4, k) == pytest.approx(0.25)


@pytest.mark.parametrize(("votes", "n", "k"), [([2], 1, 1), ([1], 2, 0), ([1], 2, 3), ([0, 1], 2, 1)])
def test_votes_that_make_no_sense_are_refused(votes, n, k):
    with pytest.raises(ValueError, match=f"maj@{k}"):
        majority_at_k(votes, [True] * len(votes), n, k)


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_unique_answers_against_all_subsets(k: int):
    samples = [0, 0, 0, 1, 1, 2, None, None]
    subsets = list(itertools.combinations(samples, k))
    expected = sum(len({answer for answer in subset if answer is not None}) for subset in subsets) / len(subsets) / k
    assert unique_at_k([3, 2, 1], 8, k) == pytest.approx(expected, abs=1e-12)


def test_distinct_answers():
    assert unique_at_k([5, 2, 1], 16, 16) == 3 / 16
    assert unique_at_k([], 4, 2) == 0
    with pytest.raises(ValueError, match="unique@k needs"):
        unique_at_k([1], 2, 3)
    assert answer_entropy([4]) == 0
    assert answer_entropy([1, 1, 1, 1]) == pytest.approx(1.3862943611198906)  # log 4
    assert answer_entropy([]) == 0

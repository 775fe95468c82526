"""max@k against the mean over all subsets."""

import itertools

import numpy as np
import pytest

from rsgrpo.measures.graded import max_at_k
from rsgrpo.measures.pass_at_k import pass_at_k


def test_it_is_the_mean_over_subsets_of_their_best_reward():
    rewards = np.random.default_rng(0).choice([0.0, 0.1, 0.5, 1.0, -2.0], size=(4, 6))
    for k in range(1, 7):
        expected = [np.mean([max(subset) for subset in itertools.combinations(row, k)]) for row in rewards]
        assert max_at_k(rewards, k) == pytest.approx(expected, abs=1e-12)


def test_of_binary_rewards_it_is_pass_at_k():
    for correct, k in itertools.product(range(9), range(1, 9)):
        rewards = np.array([[1.0] * correct + [0.0] * (8 - correct)])
        assert max_at_k(rewards, k)[0] == pytest.approx(pass_at_k(8, correct, k), abs=1e-12)


def test_many_samples_do_not_overflow():
    rewards = np.zeros((1, 1024))
    rewards[0, 7] = 1
    assert max_at_k(rewards, 512)[0] == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("k", [0, 4])
def test_a_k_that_cannot_be_drawn_is_refused(k):
    with pytest.raises(ValueError, match=f"max@{k}"):
        max_at_k(np.zeros((2, 3)), k)

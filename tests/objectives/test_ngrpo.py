"""NGRPO: the completion that is imagined."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.ngrpo import NGRPO
from tests.objectives.cases import advantages_of, binary_group


@pytest.mark.parametrize("n", [1, 2, 8, 16])
def test_a_group_that_is_all_wrong(n):
    # n zeros and a one: mean 1/(n+1), variance (ddof 1) 1/(n+1), so each gets -1/sqrt(n+1).
    got = advantages_of(NGRPO(), [0.0] * n)
    assert got.tolist() == pytest.approx([-1 / math.sqrt(n + 1)] * n, abs=1e-14)


def test_a_group_that_is_all_right_gets_nothing():
    assert advantages_of(NGRPO(), [1.0] * 8).tolist() == [0.0] * 8


def test_by_hand():
    # 1, 0, 0 and the imagined 1: mean 1/2, deviation sqrt(1/3).
    assert advantages_of(NGRPO(), [1.0, 0.0, 0.0]).tolist() == pytest.approx(
        [math.sqrt(3) / 2, -math.sqrt(3) / 2, -math.sqrt(3) / 2], abs=1e-14
    )


def test_the_best_of_another_scale():
    got = advantages_of(NGRPO(best=10.0), [0.0, 0.0])
    in_units = advantages_of(NGRPO(), [0.0, 0.0]).tolist()
    assert got.tolist() == pytest.approx(in_units, abs=1e-14), "of the deviation"
    got = advantages_of(NGRPO(best=2.0), [1.0, 1.0])
    assert got.tolist() == pytest.approx([-1 / math.sqrt(3)] * 2, abs=1e-14), "1 is not the best there"


@pytest.mark.parametrize("correct", range(1, 8))
def test_it_never_gives_more_than_grpo_to_the_right_ones(correct):
    # The imagined success raises the mean; it is as if the group were easier than it is.
    group = binary_group(correct, 8)
    a = advantages_of(NGRPO(), group)[0]
    assert a.sum() < 0
    assert a[0] > 0 > a[-1]


def test_a_reward_that_is_the_best_but_for_rounding_is_accepted():
    assert advantages_of(NGRPO(), [1.0 + 1e-9, 0.0]).isfinite().all()


def test_a_reward_above_the_best_is_refused():
    with pytest.raises(UserError, match=r"objective ngrpo is defined for rewards of at most best=1 and got 1.5"):
        advantages_of(NGRPO(), [1.5, 0.0])


@pytest.mark.parametrize("fields", [{"best": math.inf}, {"ddof": 2}, {"eps": -1.0}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        NGRPO(**fields)


def test_float32_of_a_large_best():
    rewards = torch.full((1, 4), 1e6)
    got = advantages_of(NGRPO(best=1e6 + 1), rewards)
    assert got[0].tolist() == pytest.approx([-1 / math.sqrt(5)] * 4, abs=1e-9)

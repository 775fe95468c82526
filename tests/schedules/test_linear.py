"""A straight line to the objective's own value."""

from typing import Any

import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.rspo import RSPO
from rsgrpo.schedules.cosine import Cosine
from rsgrpo.schedules.decay import progress
from rsgrpo.schedules.linear import Linear
from tests.schedules.cases import REWARDS, context, risk_sensitive_by_definition, scheduled, values, with_value

WITH_K = [PKPO(), PKPO(estimator="s_loo"), MaxPO(), RSPO(), Mahdavi(), Mahdavi(estimator="unbiased"), Chen()]


def test_beta_at_each_iteration() -> None:
    # Iteration t has t - 1 behind it: one is held, then four steps of (2 - 8)/4 = -1.5, then nothing moves.
    schedule = Linear(start=8.0, hold=1, decay=4)
    assert values(schedule, RSGRPO(beta=2.0), "beta", 8) == [8.0, 8.0, 6.5, 5.0, 3.5, 2.0, 2.0, 2.0]


def test_without_a_hold_the_second_iteration_has_moved() -> None:
    assert values(Linear(start=8.0, decay=3), RSGRPO(beta=2.0), "beta", 5) == [8.0, 6.0, 4.0, 2.0, 2.0]


def test_a_decay_of_one_iteration_is_a_jump_after_the_hold() -> None:
    assert values(Linear(start=8.0, hold=2, decay=1), RSGRPO(beta=2.0), "beta", 5) == [8.0, 8.0, 8.0, 2.0, 2.0]


def test_beta_may_rise() -> None:
    assert values(Linear(start=0.5, decay=2), RSGRPO(beta=4.5), "beta", 4) == [0.5, 2.5, 4.5, 4.5]


def test_beta_may_pass_zero_and_become_risk_averse() -> None:
    # Steps of (-4 - 4)/4 = -2: the third iteration has beta = 0, the mean baseline, the fifth beta = -4.
    schedule, objective = Linear(start=4.0, decay=4), RSGRPO(beta=-4.0)
    assert values(schedule, objective, "beta", 6) == [4.0, 2.0, 0.0, -2.0, -4.0, -4.0]
    at_zero, _ = scheduled(schedule, objective, iteration=3)
    assert at_zero.equal(REWARDS - REWARDS.mean(dim=1, keepdim=True))
    for iteration, beta in ((1, 4.0), (2, 2.0), (4, -2.0), (5, -4.0)):
        got, _ = scheduled(schedule, objective, iteration)
        torch.testing.assert_close(got, risk_sensitive_by_definition(REWARDS, beta), atol=1e-14, rtol=1e-12)


def test_k_is_rounded_to_the_nearest_whole_number_and_to_even_between_two() -> None:
    # 8, 6.25, 4.5, 2.75, 1
    assert values(Linear(start=8.0, decay=4), MaxPO(k=1), "k", 6) == [8.0, 6.0, 4.0, 3.0, 1.0, 1.0]


def test_k_is_never_below_one() -> None:
    # -3, -2, -1, 0, 1, 2, 3, 4
    schedule = Linear(start=-3.0, decay=7)
    schedule.check(MaxPO(k=4), completions=16)
    assert values(schedule, MaxPO(k=4), "k", 8) == [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("objective", WITH_K, ids=lambda o: f"{type(o).__name__} {getattr(o, 'estimator', '')}")
def test_every_objective_with_a_k_follows(objective: Objective) -> None:
    # 6, 4, 2 from start to the objective's own.
    schedule, objective = Linear(start=6.0, decay=2), with_value(objective, k=2)
    assert values(schedule, objective, "k", 3) == [6.0, 4.0, 2.0]
    for iteration, k in ((1, 6), (2, 4), (3, 2)):
        expected = with_value(objective, k=k).advantages(REWARDS, context(iteration))
        assert scheduled(schedule, objective, iteration)[0].equal(expected)
    first, last = (scheduled(schedule, objective, iteration)[0] for iteration in (1, 3))
    assert not torch.allclose(first, last)


def test_progress_counts_iterations_that_are_over() -> None:
    # 10 held, then tenths; the iteration in which it is first 1 is hold + decay + 1.
    done = [progress(t, hold=10, decay=10) for t in (1, 11, 12, 20, 21, 22, 1000)]
    assert done == pytest.approx([0.0, 0.0, 0.1, 0.9, 1.0, 1.0, 1.0], abs=1e-13)
    assert done[4] == 1.0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"decay": 0}, "decay=0 must be at least 1; try decay=1"),
        ({"decay": 4, "hold": -1}, "hold=-1 must be at least 0; try hold=0"),
        ({"decay": 4, "start": float("nan")}, "start=nan must be a finite number; try start=8.0"),
        ({"decay": 4, "start": float("inf")}, "start=inf must be a finite number; try start=8.0"),
    ],
)
def test_a_value_outside_its_range_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError) as error:
        Linear(**settings)
    assert str(error.value) == says


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"decay": 2.5}, "decay=2.5 must be a whole number"),
        ({"decay": None}, "decay=None needs the iterations of the run"),
        ({"decay": 4, "start": "high"}, "start=high must be a number"),
        ({"decay": 4, "rescale": "nosuch"}, "rescale=nosuch is unknown; choose one of none, times_beta, unit_rms"),
    ],
)
def test_a_value_of_another_kind_is_refused(settings: Any, says: str) -> None:
    with pytest.raises(FieldError, match=says):
        Linear(**settings)


@pytest.mark.parametrize("hold", [0, 1, 3, 8])
@pytest.mark.parametrize("schedule", [Linear, Cosine])
def test_without_a_decay_the_last_iteration_has_the_final_value(schedule: Any, hold: int) -> None:
    got = values(schedule(start=8.0, hold=hold, iterations=10), RSGRPO(beta=2.0), "beta", 10)
    assert got[: hold + 1] == [8.0] * (hold + 1)
    assert got[9] == 2.0
    assert all(2.0 < value < 8.0 for value in got[hold + 1 : 9])


def test_a_run_of_one_iteration_has_the_start() -> None:
    assert values(Linear(start=8.0, iterations=1), RSGRPO(beta=2.0), "beta", 1) == [8.0]


@pytest.mark.parametrize(("hold", "iterations", "most"), [(9, 10, 8), (10, 10, 8), (20, 10, 8), (1, 1, 0), (1, 2, 0)])
def test_a_hold_that_leaves_nothing_to_decay_in_is_refused_and_the_cure_works(
    hold: int, iterations: int, most: int
) -> None:
    with pytest.raises(FieldError, match=rf"hold={hold} leaves none of the {iterations} .*; try hold={most}, or set"):
        Linear(hold=hold, iterations=iterations)
    Linear(hold=most, iterations=iterations)
    Linear(hold=hold, iterations=iterations, decay=5)

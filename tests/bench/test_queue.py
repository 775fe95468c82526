"""In which order a bench runs its cells, and how it chooses learning rates."""

from typing import Any

import pytest

from rsgrpo.bench.cells import Arm, BenchSettings
from rsgrpo.bench.queue import SECONDS, Queue
from rsgrpo.bench.records import Record
from tests.bench.records import record

ARMS = [Arm(name=name, words=[f"arm={name}"]) for name in ("grpo", "rs_grpo_4")]
RATES = [1e-4, 1e-3]


def settings(**given: Any) -> BenchSettings:
    usual: dict[str, Any] = dict(
        arms=["rs_grpo_4"], tasks=["countdown"], pairs=[[0, 0], [1, 0]], tuning=[[2, 10]], rates=RATES, k=4
    )
    return BenchSettings(**(usual | given))


def tuned(arm: str, rate: float, right: int) -> Record:
    """A tuning run after which `right` of 8 completions of a problem are right."""
    return record(arm, base=2, seed=10, rate=rate, split="validation", before=(), after=(right,))


def add(queue: Queue, *records: Record) -> None:
    queue.records |= {one.cell.name: one for one in records}


def test_an_arm_is_reported_at_the_rate_with_the_highest_area_once_all_its_rates_were_tried() -> None:
    queue = Queue(settings=settings(), arms=ARMS)
    add(queue, tuned("grpo", 1e-4, 4))

    assert queue.rate(("countdown", "grpo")) is None

    add(queue, tuned("grpo", 1e-3, 5))

    assert queue.rate(("countdown", "grpo")) == 1e-3
    assert [(cell.arm.name, cell.tunes, cell.rate) for cell in queue.open()] == [
        ("grpo", False, 1e-3),
        ("grpo", False, 1e-3),
        ("rs_grpo_4", True, 1e-4),
        ("rs_grpo_4", True, 1e-3),
    ]


def test_the_rates_of_arms_that_are_reported_are_told_with_their_areas() -> None:
    queue = Queue(settings=settings(), arms=ARMS)
    add(queue, tuned("grpo", 1e-4, 4), tuned("grpo", 1e-3, 5), tuned("rs_grpo_4", 1e-4, 4))
    assert queue.rates() == {}

    add(queue, record(rate=1e-3))

    halves = [1 / 2, 1 - 6 / 28, 1 - 1 / 70]  # pass@1, 2, 4 of 4 right among 8
    more = [5 / 8, 1 - 3 / 28, 1.0]
    areas = [(one / 2 + two + four / 2) / 2 for one, two, four in (halves, more)]
    assert queue.rates() == {("countdown", "grpo"): pytest.approx(dict(zip((1e-4, 1e-3), areas, strict=True)))}


def test_of_rates_that_tie_the_lower_one_is_taken() -> None:
    queue = Queue(settings=settings(), arms=ARMS)
    add(queue, tuned("grpo", 1e-3, 4), tuned("grpo", 1e-4, 4))

    assert queue.rate(("countdown", "grpo")) == 1e-4


def test_a_rate_whose_run_failed_is_not_chosen_and_holds_nothing_up() -> None:
    queue = Queue(settings=settings(), arms=ARMS)
    add(queue, tuned("grpo", 1e-4, 1))
    failed = next(cell for cell in queue.open() if cell.arm.name == "grpo" and cell.rate == 1e-3)
    queue.failed[failed.name] = "it diverged"

    assert queue.rate(("countdown", "grpo")) == 1e-4


def test_each_cell_is_given_out_once_and_what_is_recorded_is_not_run_again() -> None:
    queue = Queue(settings=settings(), arms=ARMS)
    add(queue, tuned("grpo", 1e-4, 4), tuned("grpo", 1e-3, 5), record(base=0, seed=0, rate=1e-3))

    taken = [queue.take() for _ in range(4)]

    assert [cell and (cell.arm.name, cell.base, cell.tunes) for cell in taken] == [
        ("grpo", 1, False),
        ("rs_grpo_4", 2, True),
        ("rs_grpo_4", 2, True),
        None,
    ]


def test_a_single_rate_needs_no_tuning() -> None:
    queue = Queue(settings=settings(rates=[2e-4]), arms=ARMS)

    assert [(cell.tunes, cell.rate) for cell in queue.open()] == [(False, 2e-4)] * 4


def test_what_is_left_counts_the_runs_whose_rate_is_not_known_yet() -> None:
    queue = Queue(settings=settings(), arms=ARMS)

    assert queue.left() == 2 * (2 + 2)
    assert queue.seconds_left(2) == 8 * SECONDS / 2

    add(queue, tuned("grpo", 1e-4, 4), tuned("grpo", 1e-3, 5))
    queue.durations += [10.0, 20.0]

    assert queue.left() == 2 + 4
    assert queue.seconds_left(1) == 6 * 15
    assert queue.seconds_left(2, under_way=[5.0, 40.0]) == (6 * 15 - 5 - 15) / 2


def test_an_arm_that_is_not_defined_on_a_task_runs_no_more_there() -> None:
    queue = Queue(settings=settings(tasks=["countdown", "program"]), arms=ARMS)
    queue.undefined["program", "grpo"] = "needs rewards of 0 and 1 only"

    assert {(cell.task, cell.arm.name) for cell in queue.open()} == {
        ("countdown", "grpo"),
        ("countdown", "rs_grpo_4"),
        ("program", "rs_grpo_4"),
    }


def test_the_leaderboard_has_the_runs_with_the_chosen_rate_and_arms_that_are_only_recorded() -> None:
    queue = Queue(settings=settings(), arms=ARMS)
    others = [record("maxrl", rate=6e-4), record(rate=1e-4), record(rate=1e-3)]
    add(queue, tuned("grpo", 1e-4, 4), tuned("grpo", 1e-3, 5), *others)

    assert [(one.arm, one.rate) for one in queue.reported()] == [("maxrl", 6e-4), ("grpo", 1e-3)]

"""How far jobs are, and how long they will take, from what their folders hold."""

import json
from pathlib import Path

import pytest

from rsgrpo import run_folder
from rsgrpo.sweeps.records import write_record
from rsgrpo.sweeps.standing import Pace, Standing, last_end, last_iteration, lines_of, reason, standing_of

METRICS = {"train/reward_mean": 0.25, "train/entropy": None, "train/cumulative_solve_rate": 0.5}


def job(tmp_path: Path, number: int = 0, iterations: int = 10) -> dict[str, object]:
    run = tmp_path / f"{number}_grpo"
    run.mkdir(exist_ok=True)
    return {"number": number, "run": str(run), "iterations": iterations}


def test_a_job_waits_runs_and_ends(tmp_path: Path) -> None:
    described = job(tmp_path)
    run = Path(str(described["run"]))
    waiting = standing_of(tmp_path, described)
    assert (waiting.started, waiting.done, waiting.is_running) == (None, 0.0, False)

    write_record(tmp_path, 0, {"job": 0, "started": 100.0})
    (run / run_folder.OUTPUT).write_text("model       tiny\n\n", encoding="utf-8")
    assert standing_of(tmp_path, described).doing == "model       tiny"
    lines = [json.dumps({"iteration": 0, "eval/test/pass@1": 0.1}), json.dumps({"iteration": 4, **METRICS})]
    (run / run_folder.METRICS).write_text("\n".join([*lines, '{"iteration": 5, "tr']), encoding="utf-8")
    running = standing_of(tmp_path, described)
    assert (running.doing, running.done) == ("iteration 4/10  reward 0.250  solved 0.500", 0.4)
    assert running.is_running

    write_record(tmp_path, 0, {"job": 0, "started": 100.0, "ended": 160.0, "code": -9})
    killed = standing_of(tmp_path, described)
    assert killed.has_failed
    assert (killed.done, killed.ended) == (0.4, 160.0)
    write_record(tmp_path, 0, {"job": 0, "started": 100.0, "ended": 160.0, "code": 0})
    assert standing_of(tmp_path, described).done == 1.0


def test_evaluations_are_no_iterations(tmp_path: Path) -> None:
    file = tmp_path / run_folder.METRICS
    file.write_text(json.dumps({"iteration": 9, "eval/test/pass@1": 0.5}) + "\n", encoding="utf-8")
    assert last_iteration(file) == (0, {})
    assert last_iteration(tmp_path / "absent") == (0, {})


def test_the_reason_is_the_signal_the_last_error_or_the_last_line(tmp_path: Path) -> None:
    output = tmp_path / run_folder.OUTPUT
    output.write_text("error: a; try b\nthe run failed; go on with c\n", encoding="utf-8")
    assert reason(2, output) == "error: a; try b"
    output.write_text("Traceback\nZeroDivisionError: x\n\n", encoding="utf-8")
    assert reason(1, output) == "ZeroDivisionError: x"
    assert reason(-9, output) == "ended by SIGKILL"


def standing(number: int, done: float, started: float | None, ended: float | None = None) -> Standing:
    return Standing(number=number, name=f"{number}_grpo", done=done, doing="at it", started=started, ended=ended)


def test_nobody_knows_how_long_it_takes_before_something_is_done() -> None:
    pace = Pace({})
    assert pace.left([standing(0, 0.0, 0.0), standing(1, 0.0, None)], places=1, now=30.0) is None


def test_the_time_left_is_that_of_the_last_place() -> None:
    """Two places: one job has 30 s left, the other 60, and two wait, each of which takes 60 as the others did."""
    pace = Pace({})
    jobs = [
        standing(0, 1.0, 0.0, 60.0),
        standing(1, 0.0, 60.0),
        standing(2, 0.0, 90.0),
        standing(3, 0.0, None),
        standing(4, 0.0, None),
    ]
    pace.left(jobs, places=2, now=90.0)
    jobs[1] = standing(1, 0.5, 60.0)
    assert pace.left(jobs, places=2, now=90.0) == pytest.approx(120.0)


def test_a_resumed_job_is_judged_by_what_it_has_done_since() -> None:
    """It was at 80 % when it began, and took 10 s for a tenth: another 10 s."""
    pace = Pace({})
    assert pace.left([standing(0, 0.8, 0.0)], places=1, now=0.0) is None
    assert pace.left([standing(0, 0.9, 0.0)], places=1, now=10.0) == pytest.approx(10.0)


def test_fewer_jobs_than_places_wait_for_nobody() -> None:
    assert last_end([5.0], 1, 60.0, places=4) == 60.0


def test_the_lines_are_one_of_all_and_one_of_each_that_runs() -> None:
    jobs = [standing(0, 1.0, 0.0, 60.0), standing(1, 0.5, 60.0), standing(2, 0.0, None)]
    assert lines_of(jobs, 130.0) == ["job 2/3, 2 min left", "  1_grpo  at it"]

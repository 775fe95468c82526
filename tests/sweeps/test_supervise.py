"""Each job is a process of its own, whose end is written down, however it comes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rsgrpo import run_folder
from rsgrpo.command_line.supervision import JOB, SUPERVISOR
from rsgrpo.sweeps.records import (
    ask_to_stop,
    is_alive,
    is_held,
    is_running,
    read_record,
    record_of,
    this_process,
    write_record,
)
from rsgrpo.sweeps.supervise import THREADS

PROGRAM = """
import json, os, sys, time
print("words", json.dumps(sys.argv[1:]), flush=True)
print("place", json.dumps({name: os.environ.get(name) for name in sys.argv[1].split("=")[1].split("+")}), flush=True)
how = os.environ.get("HOW", "")
if how == "kill": os.kill(os.getpid(), 9)
if how == "wait": time.sleep(60)
if how == "fail": sys.exit(2)
"""
"""A program in the place of `run.py`: the first word names the variables that it shows."""

START = """
import sys
from types import SimpleNamespace
from rsgrpo.sweeps.supervise import start_job
start_job(SimpleNamespace(sweep=sys.argv[1], job=int(sys.argv[2])))
assert "torch" not in sys.modules and "hydra" not in sys.modules
"""
SHOWN = "+".join([*THREADS, "CUDA_VISIBLE_DEVICES", SUPERVISOR, JOB])


def plan(sweep: Path, jobs: int = 1, **more: Any) -> Path:
    """A sweep whose jobs are that program."""
    (sweep / "job.py").write_text(PROGRAM, encoding="utf-8")
    described = [
        {"number": number, "words": [f"show={SHOWN}"], "run": str(sweep / f"{number}_a b"), "threads": 3}
        for number in range(jobs)
    ]
    content = {"program": [sys.executable, str(sweep / "job.py")], "flags": [], "directory": str(sweep)}
    content |= {"resumes": False, "places": None, "ends_with": None, "jobs": described}
    run_folder.write_json(sweep / run_folder.SWEEP, content | more)
    return sweep


def started(sweep: Path, number: int = 0, how: str = "") -> subprocess.Popen[bytes]:
    """A process of a launcher, at a job."""
    return subprocess.Popen([sys.executable, "-c", START, str(sweep), str(number)], env=os.environ | {"HOW": how})


def output(sweep: Path, number: int = 0) -> dict[str, Any]:
    lines = (sweep / f"{number}_a b" / run_folder.OUTPUT).read_text(encoding="utf-8").splitlines()
    return {name: json.loads(value) for name, _, value in (line.partition(" ") for line in lines)}


def record(sweep: Path, number: int = 0) -> dict[str, Any]:
    found = read_record(sweep, number)
    assert found is not None
    return found


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_gets_its_words_its_folder_and_its_threads(tmp_path: Path) -> None:
    process = started(plan(tmp_path))
    assert process.wait(timeout=60) == 0
    said = output(tmp_path)
    assert said["words"] == [f"show={SHOWN}", f'hydra.run.dir="{tmp_path}/0_a b"', "hydra.job.num=0"]
    assert {said["place"][name] for name in THREADS} == {"3"}
    assert said["place"]["CUDA_VISIBLE_DEVICES"] == os.environ.get("CUDA_VISIBLE_DEVICES")
    assert (said["place"][SUPERVISOR], said["place"][JOB]) == (str(process.pid), "0")
    assert record(tmp_path)["code"] == 0
    assert record(tmp_path)["ended"] >= record(tmp_path)["started"]
    assert not is_running(tmp_path, 0)


@pytest.mark.parametrize(("how", "code"), [("kill", -9), ("fail", 2)])
def test_however_a_job_ends_the_launcher_goes_on(tmp_path: Path, how: str, code: int) -> None:
    assert started(plan(tmp_path), how=how).wait(timeout=60) == 0
    assert record(tmp_path)["code"] == code


def test_one_that_was_begun_before_goes_on(tmp_path: Path) -> None:
    """Slurm puts a job back into the queue with the same arguments."""
    plan(tmp_path)
    assert started(tmp_path).wait(timeout=60) == 0
    assert "ckpt=auto" not in output(tmp_path)["words"]
    (tmp_path / "0_a b" / run_folder.OUTPUT).unlink()
    assert started(tmp_path).wait(timeout=60) == 0
    assert "ckpt=auto" in output(tmp_path)["words"]


def test_jobs_of_one_machine_have_places_of_their_own(tmp_path: Path) -> None:
    """Three jobs and two places: the third waits until one is free, and gets that one."""
    plan(tmp_path, jobs=3, places=["0", "4,5"])
    first, second = started(tmp_path, 0, "wait"), started(tmp_path, 1, "wait")
    until(lambda: is_running(tmp_path, 0) and is_running(tmp_path, 1))
    third = started(tmp_path, 2)
    held = {number: record(tmp_path, number)["gpus"] for number in (0, 1)}
    assert set(held.values()) == {"0", "4,5"}
    with pytest.raises(subprocess.TimeoutExpired):
        third.wait(timeout=2)
    assert read_record(tmp_path, 2) is None
    os.kill(record(tmp_path, 1)["pid"], signal.SIGKILL)
    assert [second.wait(timeout=60), third.wait(timeout=60)] == [0, 0]
    assert output(tmp_path, 2)["place"]["CUDA_VISIBLE_DEVICES"] == held[1]
    first.terminate()
    assert first.wait(timeout=60) == 0
    assert record(tmp_path, 0)["code"] == -signal.SIGTERM, "SIGTERM is passed on to the job"


def test_jobs_stop_with_the_sweep(tmp_path: Path) -> None:
    """Whatever ended the process that shows how far it is; a job that has not begun does not."""
    with subprocess.Popen(["sleep", "60"]) as above:
        began = int(Path(f"/proc/{above.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
        plan(tmp_path, jobs=2, ends_with=[above.pid, began])
        first = started(tmp_path, 0, "wait")
        until(lambda: is_running(tmp_path, 0))
        above.kill()
    assert first.wait(timeout=60) == 0
    assert record(tmp_path)["code"] == -signal.SIGTERM
    assert started(tmp_path, 1).wait(timeout=60) == 0
    assert read_record(tmp_path, 1) is None


def test_jobs_stop_when_they_are_asked_to(tmp_path: Path) -> None:
    plan(tmp_path, jobs=2)
    first = started(tmp_path, 0, "wait")
    until(lambda: is_running(tmp_path, 0))
    ask_to_stop(tmp_path)
    assert first.wait(timeout=60) == 0
    assert record(tmp_path)["code"] == -signal.SIGTERM
    assert started(tmp_path, 1).wait(timeout=60) == 0
    assert read_record(tmp_path, 1) is None


def test_a_process_is_known_from_a_later_one_of_its_number() -> None:
    this = this_process()
    assert is_alive(this)
    assert not is_alive([this[0], this[1] + 1])


def test_a_run_has_one_job_at_a_time(tmp_path: Path) -> None:
    """Another sweep has found the same run half done."""
    first, second = tmp_path / "first", tmp_path / "second"
    for sweep in (first, second):
        sweep.mkdir()
        plan(sweep)
    described = run_folder.read_json(second / run_folder.SWEEP)
    described["jobs"][0]["run"] = str(first / "0_a b")
    run_folder.write_json(second / run_folder.SWEEP, described)
    running = started(first, how="wait")
    until(lambda: is_running(first, 0))
    assert is_held(first / "0_a b")
    assert started(second).wait(timeout=60) == 0
    assert {"code": 2, "why": "another sweep is at this run"}.items() <= record(second).items()
    running.terminate()
    assert running.wait(timeout=60) == 0
    assert not is_held(first / "0_a b")


def test_a_job_whose_machine_is_gone_is_not_running(tmp_path: Path) -> None:
    write_record(tmp_path, 0, {"job": 0, "started": 1.0})
    assert is_running(tmp_path, 0)
    os.utime(record_of(tmp_path, 0), (1.0, 1.0))
    assert not is_running(tmp_path, 0)
    assert not is_running(tmp_path, 1)

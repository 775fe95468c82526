"""What a launcher runs for each job of a sweep: a process of the job's own, watched until it ends.

The job is a process that this one has started, with the words of the job: whatever ends it, a signal or the kernel that
has no memory left, ends nothing else. This file imports little, since a launcher may keep one such process for each
job that runs at a time.
"""

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from rsgrpo import run_folder
from rsgrpo.command_line.quoting import quoted
from rsgrpo.command_line.supervision import JOB, SUPERVISOR
from rsgrpo.sweeps.records import BEAT_S, JOBS, beat, hold, is_alive, is_stopping, read_record, write_record

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What the libraries that compute read when they are imported."""


def start_job(cfg: Any) -> None:
    """The task that Hydra's launchers run: job `job` of the sweep in the folder `sweep`."""
    sweep, number = Path(cfg.sweep), int(cfg.job)
    plan = run_folder.read_json(sweep / run_folder.SWEEP)
    (job,) = [job for job in plan["jobs"] if job["number"] == number]
    with _place(sweep, plan["places"]) as gpus:
        if _is_over(sweep, plan):
            return
        variables = {name: str(job["threads"]) for name in THREADS} | {"PYTHONUNBUFFERED": "1"}
        if gpus is not None:
            variables["CUDA_VISIBLE_DEVICES"] = gpus
        _watch(sweep, plan, job, variables)


def _is_over(sweep: Path, plan: Mapping[str, Any]) -> bool:
    """Whether jobs are to stop: they were asked to, or the process that shows how far they are is gone."""
    ends_with = plan["ends_with"]
    return is_stopping(sweep) or (ends_with is not None and not is_alive(ends_with))


def _command(sweep: Path, plan: Mapping[str, Any], job: Mapping[str, Any]) -> list[str]:
    """The command line of a job. One that Slurm has put back into the queue goes on where it was."""
    begun_before = read_record(sweep, job["number"]) is not None
    auto = ["ckpt=auto"] if plan["resumes"] or begun_before else []
    where = [f"hydra.run.dir={quoted(job['run'])}", f"hydra.job.num={job['number']}"]
    return [*plan["program"], *plan["flags"], *job["words"], *auto, *where]


def _watch(sweep: Path, plan: Mapping[str, Any], job: Mapping[str, Any], variables: dict[str, str]) -> None:
    """Start a job and write down what becomes of it."""
    run = Path(job["run"])
    run.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **variables, SUPERVISOR: str(os.getpid()), JOB: str(job["number"])}
    with (run / run_folder.OUTPUT).open("ab") as output:
        if not hold(output.fileno()):
            taken = {"job": job["number"], "run": str(run), "started": time.time(), "ended": time.time()}
            write_record(sweep, job["number"], {**taken, "code": 2, "why": "another sweep is at this run"})
            return
        child = subprocess.Popen(
            _command(sweep, plan, job),
            cwd=plan["directory"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        known = {
            "job": job["number"],
            "run": str(run),
            "host": socket.gethostname(),
            "pid": child.pid,
            "gpus": variables.get("CUDA_VISIBLE_DEVICES"),
            "started": time.time(),
        }
        write_record(sweep, job["number"], known)
        with _passing_on(child):
            code = _waited_for(child, sweep, plan, job["number"])
        write_record(sweep, job["number"], {**known, "ended": time.time(), "code": code})


def _waited_for(child: subprocess.Popen[bytes], sweep: Path, plan: Mapping[str, Any], number: int) -> int:
    """The exit code of a job. It is told to stop once: a second time would interrupt it while it saves."""
    told = False
    while True:
        try:
            return child.wait(timeout=BEAT_S)
        except subprocess.TimeoutExpired:
            beat(sweep, number)
            if not told and _is_over(sweep, plan):
                child.terminate()
                told = True


@contextmanager
def _passing_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGTERM is for the job, which ends its iteration and saves."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)

    try:
        before = signal.signal(signal.SIGTERM, pass_on)
    except ValueError:  # in a thread: Python has handlers in the main thread alone
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _place(sweep: Path, places: Sequence[str | None] | None) -> Iterator[str | None]:
    """One of the places on this machine, from now on until the job has ended: which GPUs it has."""
    if places is None:
        yield None
        return
    (sweep / JOBS).mkdir(exist_ok=True)
    with _locked(sweep / JOBS, len(places)) as place:
        yield places[place]


@contextmanager
def _locked(folder: Path, count: int) -> Iterator[int]:
    """The first of `count` locks that is free, once one is; it is given up with the process, however that ends."""
    while True:
        for place in range(count):
            lock = os.open(folder / f"place_{place}.lock", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            try:
                yield place
            finally:
                os.close(lock)
            return
        time.sleep(0.2)

"""How far the jobs of a sweep are, read from their folders, and how long they will take."""

import heapq
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsgrpo import run_folder
from rsgrpo.command_line.sweep import headline
from rsgrpo.sweeps.records import read_record
from rsgrpo.workers.last_words import last_words, tail

SHOWN = {"reward": "train/reward_mean", "solved": "train/cumulative_solve_rate", "entropy": "train/entropy"}
"""What is shown of the last iteration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far one job is."""

    number: int
    name: str
    """Of its folder."""
    done: float
    """The share of its work."""
    doing: str
    """What it has last said."""
    started: float | None = None
    """When, by the wall clock; None while it waits for its turn."""
    ended: float | None = None
    code: int | None = None
    """With which it ended; the number of a signal is negative."""
    why: str | None = None
    """What kept it from being started."""

    @property
    def is_running(self) -> bool:
        return self.started is not None and self.ended is None

    @property
    def has_failed(self) -> bool:
        return self.code not in (None, 0)


def standing_of(sweep: Path, job: Mapping[str, Any]) -> Standing:
    """How far a job is that `sweep.json` describes.

    Raises:
        UserError: when its record is damaged.
    """
    run, record = Path(job["run"]), read_record(sweep, job["number"])
    if record is None:
        return Standing(number=job["number"], name=run.name, done=0.0, doing="")
    iteration, metrics = last_iteration(run / run_folder.METRICS)
    if metrics:
        shown = [f"{name} {metrics[key]:.3f}" for name, key in SHOWN.items() if metrics.get(key) is not None]
        doing = "  ".join([f"iteration {iteration}/{job['iterations']}", *shown])
    else:
        doing = last_line(run / run_folder.OUTPUT)
    code = record.get("code")
    return Standing(
        number=job["number"],
        name=run.name,
        done=1.0 if code == 0 else min(1.0, iteration / job["iterations"]),
        doing=doing,
        started=record["started"],
        ended=record.get("ended"),
        code=code,
        why=record.get("why"),
    )


def last_iteration(file: Path) -> tuple[int, dict[str, Any]]:
    """(iteration, record) of the last one in `metrics.jsonl`; (0, {}) before there is any."""
    for line in reversed(tail(file).splitlines()):
        try:
            record = json.loads(line)
        except ValueError:  # it is being written
            continue
        if isinstance(record, dict) and "train/reward_mean" in record:
            return int(record["iteration"]), record
    return 0, {}


def last_line(file: Path) -> str:
    """The last line of a job's output that is not empty."""
    lines = [line.strip() for line in tail(file).splitlines()]
    return next((line for line in reversed(lines) if line), "")


def reason(code: int | None, file: Path) -> str:
    """Why a job failed: the signal that ended it, or its last words."""
    return f"ended by {signal.Signals(-code).name}" if code is not None and code < 0 else last_words(tail(file))


@dataclass(slots=True)
class Pace:
    """How long a job takes, from those that have ended and those that run."""

    begun_with: dict[int, float]
    """By number, the share of its work that a job had done when it was first seen running: it was resumed."""

    def left(self, jobs: Sequence[Standing], *, places: int, now: float) -> float | None:
        """Seconds until the last of the jobs has ended; None as long as none of them shows how long that takes.

        Args:
            jobs: all of them.
            places: how many run at once.
            now: by the wall clock.
        """
        whole, rest = [], []
        for job in jobs:
            if job.started is None:
                continue
            begun = self.begun_with.setdefault(job.number, job.done if job.is_running else 0.0)
            seconds = (now if job.ended is None else job.ended) - job.started
            if job.done > begun:
                whole.append(seconds / (job.done - begun))
                rest += [seconds * (1 - job.done) / (job.done - begun)] if job.is_running else []
        if not whole:
            return None
        usual = sum(whole) / len(whole)
        running = sum(job.is_running for job in jobs)
        waiting = sum(job.started is None for job in jobs)
        return last_end([*rest, *[usual] * (running - len(rest))], waiting, usual, places=places)


def last_end(running: Sequence[float], waiting: int, each: float, *, places: int) -> float:
    """When the last job ends, if each that waits takes the place of the first that ends.

    Args:
        running: seconds that the running jobs still need.
        waiting: how many jobs have no place yet.
        each: seconds that one of them takes.
        places: how many run at once.

    >>> last_end([10.0, 40.0], 3, 60.0, places=2)
    130.0
    >>> last_end([], 0, 60.0, places=2)
    0.0
    """
    ends = [*running, *[0.0] * (max(1, places) - len(running))]
    heapq.heapify(ends)
    for _ in range(waiting):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def lines_of(jobs: Sequence[Standing], left: float | None) -> list[str]:
    """The headline, and a line for each job that runs."""
    running = [job for job in jobs if job.is_running]
    width = max((len(job.name) for job in running), default=0)
    begun = sum(job.started is not None or job.done == 1 for job in jobs)
    return [headline(begun, len(jobs), left), *(f"  {job.name:<{width}}  {job.doing}".rstrip() for job in running)]

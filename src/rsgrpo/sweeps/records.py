"""What a sweep writes down: its jobs in `sweep.json`, and what has become of each in `jobs/NUMBER.json`.

The processes that launchers start read and write these files, and import little: see `supervise`.
"""

import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsgrpo import run_folder

JOBS = "jobs"
"""The folder of the records."""

STOP = "stop"
"""The file, beside the records, with which a sweep asks its jobs to stop and lets none begin."""

BEAT_S = 2.0
"""How often the record of a running job is touched."""

SILENT_S = 60.0
"""A job whose record was not touched for so long is not running any more: its machine is gone."""


def record_of(sweep: Path, number: int) -> Path:
    """The file that says what has become of a job."""
    return sweep / JOBS / f"{number}.json"


def write_record(sweep: Path, number: int, content: Mapping[str, Any]) -> None:
    """Write down what has become of a job."""
    file = record_of(sweep, number)
    file.parent.mkdir(exist_ok=True)
    run_folder.write_json(file, content)


def read_record(sweep: Path, number: int) -> dict[str, Any] | None:
    """What has become of a job; None when no process has taken it up.

    Raises:
        UserError: when the record is damaged.
    """
    file = record_of(sweep, number)
    return run_folder.read_json(file) if file.exists() else None


def is_running(sweep: Path, number: int) -> bool:
    """Whether a process, here or elsewhere, is at a job."""
    record = read_record(sweep, number)
    if record is None or "ended" in record:
        return False
    now = sweep / JOBS / f".now_{os.getpid()}"  # as the clock of the file system has it, which other machines share
    now.touch()
    silent = now.stat().st_mtime - record_of(sweep, number).stat().st_mtime
    now.unlink()
    return silent < SILENT_S


def beat(sweep: Path, number: int) -> None:
    """Say that a job is running still."""
    os.utime(record_of(sweep, number))


def hold(output: int) -> bool:
    """Make a run this process's own, by a lock on its open output; whether no other has it.

    The lock goes with the process and with those that it hands the file to. Where a file system has no locks, every
    process may have every run.
    """
    try:
        fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_held(run: Path) -> bool:
    """Whether the job of another sweep is at a run."""
    file = run / run_folder.OUTPUT
    if not file.exists():
        return False
    with file.open("rb") as output:
        return not hold(output.fileno())


def ask_to_stop(sweep: Path) -> None:
    """Have the running jobs finish their iteration and save, and let no other begin."""
    (sweep / JOBS).mkdir(exist_ok=True)
    (sweep / JOBS / STOP).touch()


def is_stopping(sweep: Path) -> bool:
    """Whether the jobs are to stop."""
    return (sweep / JOBS / STOP).exists()


def this_process() -> list[int]:
    """What tells this process from all others of this machine, also from a later one of its number."""
    return [os.getpid(), _began(os.getpid()) or 0]


def is_alive(process: Sequence[int]) -> bool:
    """Whether the process is there that `this_process` has named, and has not ended unheard."""
    return _began(process[0]) == process[1]


def _began(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None when it has ended."""
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(others[18])

"""A job of a sweep that a launcher has started: the process that watches it, with which it stops."""

import os
import signal

from rsgrpo.workers.expendable import end_with_parent

SUPERVISOR = "RSGRPO_SUPERVISOR"
"""The variable that names the process which watches this one."""

JOB = "RSGRPO_JOB"
"""The variable that says, to all ranks of a job, that it is one: its number in the sweep."""


def follow_supervisor() -> None:
    """From now on, stop as SIGTERM stops a run when the process that watches this one is gone, whatever ended it.

    Slurm tells all processes of a job by SIGUSR1 or SIGUSR2 that its time is nearly over: that is for the watching one
    to hear. The processes that this one starts are not watched by it.
    """
    named = os.environ.pop(SUPERVISOR, None)
    if named is None:
        return
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent(parent=int(named))


def is_supervised() -> bool:
    """Whether this process is a job of a sweep that a launcher has started: its words are whole, its folder is set."""
    return JOB in os.environ

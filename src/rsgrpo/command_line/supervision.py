"""A job of a sweep that a launcher has started: the process that watches it, with which it stops."""

import ctypes
import os
import signal

SUPERVISOR = "RSGRPO_SUPERVISOR"
"""The variable that names the process which watches this one."""

_PR_SET_PDEATHSIG = 1

_SUPERVISED: list[int] = []
"""The process that watches this one, if one does."""


def follow_supervisor() -> None:
    """From now on, stop as SIGTERM stops a run when the process that watches this one is gone, whatever ended it.

    The processes that this one starts are not watched by it.
    """
    named = os.environ.pop(SUPERVISOR, None)
    if named is None:
        return
    _SUPERVISED[:] = [int(named)]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(named):  # it has gone before this could be said
        os.kill(os.getpid(), signal.SIGTERM)


def is_supervised() -> bool:
    """Whether this process is a job of a sweep that a launcher has started: its words are whole, its folder is set."""
    return bool(_SUPERVISED)

"""Starting jobs, and Ctrl-C meanwhile."""

import os
import signal

import pytest

from rsgrpo.bench.jobs import interrupts_held


def test_ctrl_c_while_a_job_is_started_waits_until_the_job_is_known() -> None:
    before, known = signal.getsignal(signal.SIGINT), list[str]()

    def start() -> None:
        with interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            known.append("the job")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert known == ["the job"]
    assert signal.getsignal(signal.SIGINT) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_without_ctrl_c_nothing_is_raised_and_an_error_is_its_own() -> None:
    with interrupts_held():
        pass
    with pytest.raises(ValueError, match="no job"), interrupts_held():
        raise ValueError("no job")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())

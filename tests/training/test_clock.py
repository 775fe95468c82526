"""Seconds of CPU, counted against those that processes say of themselves."""

import subprocess
import sys

import pytest
import torch

from rsgrpo.training.clock import StageClock, cpu_seconds

BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
GOES_ON = BUSY + "print('busy', flush=True)\ninput()"
GRANDCHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {GOES_ON!r}])"


def test_children_count_while_they_go_on_and_when_they_have_ended() -> None:
    """The kernel counts in ticks of 10 ms, two numbers for each of two processes."""
    before = cpu_seconds()
    with subprocess.Popen(
        [sys.executable, "-c", GRANDCHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "busy\n"
        assert cpu_seconds() - before > 0.3 - 4 * 0.01
        child.communicate("\n")
    assert cpu_seconds() - before > 0.3 - 4 * 0.01


def test_memory_of_a_stage_is_the_larger_of_its_begin_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    in_use = iter([60, 20, 20, 30, 25, 10])
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (100 - next(in_use), 100))
    clock = StageClock()
    for name in ("rollout", "update", "update"):
        with clock.stage(name):
            pass
    assert clock.gpu_bytes() == {"rollout": 60, "update": 30}
    clock.restart()
    assert clock.gpu_bytes() == {}


def test_a_process_without_a_gpu_has_no_memory_of_one() -> None:
    clock = StageClock()
    with clock.stage("update"):
        pass
    assert clock.gpu_bytes() == {}

"""Seconds of CPU, counted against those that processes say of themselves."""

import subprocess
import sys

from rsgrpo.training.clock import cpu_seconds

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

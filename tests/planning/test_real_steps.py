"""The plan beside the resident memory of real training rows on the CPU, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rsgrpo.planning.row_trace import Way, row_bytes
from tests.planning.real_step import architecture

ROOT = Path(__file__).parents[2]
MIB = 2**20

PLAIN = Way(tokens=2048, sequences=8, chunk_tokens=512, checkpointing=False)
WAYS = {
    "plain": PLAIN,
    "recomputed": PLAIN._replace(checkpointing=True, tokens=6144),
    "longer row": PLAIN._replace(tokens=4096, sequences=16),
    "larger chunk": PLAIN._replace(chunk_tokens=2048),
    "long row, recomputed, small chunk": PLAIN._replace(
        checkpointing=True, tokens=8192, sequences=4, chunk_tokens=256
    ),  # whose peak is in the layers
}

GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "0"}
"""glibc keeps freed memory by default, and what is measured would be its habit."""


def measured(way: Way) -> dict[str, Any]:
    plain = {name: value for name, value in way._asdict().items() if isinstance(value, int)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.planning.real_step", json.dumps(plain)],
        cwd=ROOT,
        env=os.environ | GIVES_BACK | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_real_row_takes_what_was_planned(way: Way) -> None:
    planned, real = row_bytes(architecture(), way).further, measured(way)
    assert real["resident"] > 300 * MIB
    assert planned.peak == pytest.approx(real["resident"], rel=0.15)
    assert planned.peak == pytest.approx(real["live"], rel=0.01)
    assert planned.saved == pytest.approx(real["saved"], rel=0.01)

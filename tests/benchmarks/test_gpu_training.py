"""The training step of a GPU is measured in every way, also where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=3600)


@pytest.mark.slow
def test_a_training_step_is_measured_in_every_way_without_a_gpu() -> None:
    words = ("--device", "cpu", "--shapes", "tiny", "--layers", "1", "2", "--row-tokens", "400")
    finished = run(str(FOLDER / "gpu_training.py"), *words)
    assert finished.returncode == 0, finished.stderr
    rows = [line.split() for line in finished.stdout.splitlines() if line.startswith("tiny ")]
    assert [row[1:4] for row in rows] == [
        [layers, checkpoints, name]
        for checkpoints in ("no", "yes")
        for name in ("foreach", "fused")
        for layers in ("1", "2", "8")
    ]
    assert all(float(row[6]) > 0 for row in rows if row[1] != "8")

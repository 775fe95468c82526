"""The words of benchmarks/gpu_peaks.py, which measures on a GPU, are those of runs that can be planned."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_peaks import COMMON, RUNS, measured, run, seconds

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_peaks.py"


def test_memory_of_a_stage_is_the_largest_of_all_iterations(tmp_path: Path) -> None:
    lines = [
        {"memory/update_gib": 2.0, "time/step_s": 9.0},
        {"memory/update_gib": 3.0, "time/step_s": 4.0},
        {"eval": 1},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert measured(tmp_path) == {"update": 3.0}
    assert seconds(tmp_path) == 4.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpu_offload", "8bit", "adapter"])
def test_every_run_can_be_planned(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    assert run(("task=plan", *COMMON, *RUNS[name], "plan.gpu_gib=80"), folder) is None
    assert json.loads((folder / "plan.json").read_text())["fits"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs an NVIDIA GPU" in done.stderr

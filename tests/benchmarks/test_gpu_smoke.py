"""The smoke test of a GPU: its table and its exit status, and all that it checks without one."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.gpu_smoke.policy import SIZES
from benchmarks.gpu_smoke.table import Check, Checks, Result
from rsgrpo.rollouts.vllm.process import missing
from tests.processes import python

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
ON_CPU = ("--device", "cpu", "--size", "tiny", "--minutes", "60")
ON_GPU_ONLY = {
    "parity at version 0, trainer in bfloat16",
    "peak memory, GiB",
    "sleep gives memory back",
    "parity after a wake beside cached memory",
    "close gives memory back",
    "a second engine in the same process",
    "vllm with CUDA graphs",
    "parity of an engine in float32",
}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=3600)


def states(output: str) -> dict[str, str]:
    """The last column of the table by the first."""
    lines = [line.split("  ") for line in output.splitlines() if line.rstrip().endswith(STATES)]
    return {cells[0].strip(): next(cell.strip() for cell in reversed(cells) if cell.strip()) for cells in lines}


STATES = ("ok", "FAILED", "needs a GPU", "skipped")


def fail() -> Any:
    raise ValueError("no luck [today]\nand more")


def test_every_row_says_what_came_of_its_check() -> None:
    checks = Checks(on_gpu=False, seconds=60, limit=60)
    good, bad = (lambda: Result("1", "2")), (lambda: Result("3", "2", False))
    checks.run(
        [
            Check(name="good", run=good),
            Check(name="too much", run=bad, after="good"),
            Check(name="raises", run=fail),
            Check(name="builds on it", run=good, after="raises"),
            Check(name="goes on", run=good, after="good"),
            Check(name="elsewhere", run=fail, on_gpu_only=True),
        ]
    )
    assert checks.failed
    console = Console(record=True, width=200, file=io.StringIO())
    checks.show(console)
    text = console.export_text()
    assert states(text) == {
        "good": "ok",
        "too much": "FAILED",
        "raises": "FAILED",
        "builds on it": "skipped",
        "goes on": "ok",
        "elsewhere": "needs a GPU",
    }
    assert "ValueError: no luck [today] " in text
    assert 'raise ValueError("no luck [today]\\nand more")' in text, "the traceback is below the table"
    assert "2 ok, 2 failed, 1 skipped, 1 that need a GPU" in text


def test_what_would_start_too_late_is_skipped() -> None:
    checks = Checks(on_gpu=True, seconds=0, limit=60)
    checks.run([Check(name="late", run=fail)])
    assert [(row.state, row.measured) for row in checks.rows] == [("skipped", "no time left")]


def test_the_large_policy_has_the_shape_of_qwen3_0_6b() -> None:
    assert SIZES["qwen3_0_6b"] == {
        "vocab_size": 151936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    }


def test_a_check_that_hangs_ends_the_process_with_its_table() -> None:
    finished = run(
        "-c",
        "import time; from benchmarks.gpu_smoke.table import Check, Checks, limited\n"
        "checks = Checks(on_gpu=False, seconds=60, limit=0.5)\n"
        "with limited(checks): checks.run([Check(name='hangs', run=lambda: time.sleep(300))])",
    )
    assert finished.returncode == 1
    assert states(finished.stdout) == {"hangs": "FAILED"}
    assert "still running after" in finished.stdout


def test_without_a_gpu_it_says_what_it_needs() -> None:
    hidden = "import os, runpy; os.environ['CUDA_VISIBLE_DEVICES'] = ''; "  # before PyTorch looks for one
    finished = python("-c", f"{hidden}runpy.run_module('benchmarks.gpu_smoke', run_name='__main__')")
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr == (
        "gpu_smoke needs an NVIDIA GPU that PyTorch can use; --device cpu --size tiny checks what needs none\n"
    )


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


@pytest.mark.slow
def test_all_that_needs_no_gpu_is_ok_on_a_cpu() -> None:
    if (problem := missing()) is not None:
        pytest.skip(problem)
    finished = run("-m", "benchmarks.gpu_smoke", *ON_CPU)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = states(finished.stdout)
    assert {name for name, state in found.items() if state == "needs a GPU"} == ON_GPU_ONLY
    assert {name for name, state in found.items() if state == "ok"} == {
        "versions and device",
        "random policy",
        "engine start, first sync",
        "sync at version 0",
        "parity at version 0, trainer in float32",
        "a sync empties the prefix cache",
        "2 iterations of training",
        "the updates would show in the parity",
        "parity after the updates",
        "parity after sleep and wake",
        "vllm without CUDA graphs",
        "hf, on fewer tokens",
    }
    assert len(found) == 20


@pytest.mark.slow
def test_keys_and_values_of_old_weights_fail_it() -> None:
    """The rows that know fail, what builds on them is skipped, the others go on."""
    if (problem := missing()) is not None:
        pytest.skip(problem)
    finished = run(
        "-c",
        "import sys; from benchmarks.gpu_smoke import command as g\n"
        "from benchmarks.gpu_smoke.table import Result; from rsgrpo.rollouts.vllm import VLLMEngine\n"
        "VLLMEngine._forget_prefixes = lambda self: None\n"
        "g.OtherProcesses.speed = lambda self, name, enforce_eager=True: Result('not now')\n"
        f"sys.exit(g.main({list(ON_CPU)}))",
    )
    assert finished.returncode == 1, finished.stdout + finished.stderr
    found = states(finished.stdout)
    assert {name for name, state in found.items() if state == "FAILED"} == {
        "a sync empties the prefix cache",
        "2 iterations of training",
        "parity after sleep and wake",
    }
    assert found["parity after the updates"] == "skipped"
    assert found["vllm without CUDA graphs"] == "ok"
    assert "UserError: the engine's log-probs differ from the trainer's by" in finished.stdout

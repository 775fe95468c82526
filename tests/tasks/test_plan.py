"""`task=plan`: memory, time and disk of the run that the other words would start, where it could not start."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.processes import python

ROOT = Path(__file__).parents[2]


def planned(where: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    done = python(str(ROOT / "run.py"), "task=plan", "hydra.run.dir=plan", *words, cwd=where)
    return done, json.loads((where / "plan" / "plan.json").read_text())


def test_a_run_that_fits_is_told_in_a_table_and_a_file(tmp_path: Path) -> None:
    words = ("model=qwen2_5_math_1_5b", "plan.gpu_gib=80", "trainer.activation_checkpointing=true")
    done, plan = planned(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert plan["fits"]
    assert plan["advice"] is None
    assert plan["model"]["parameters"] == 1_543_714_304
    assert plan["phases"]["train"]["parts"]["gradients"] == 1_543_714_304 * 4 / 2**30
    for phase in plan["phases"].values():
        assert sum(phase["parts"].values()) == phase["total"] <= plan["usable_gib"] < 80
    text = done.stdout
    assert "the description of Qwen/Qwen2.5-Math-1.5B that comes with rsgrpo" in text
    assert f"fits by plan: {plan['largest']} is the largest phase" in text
    assert f"{plan['cache']['tokens']:,} tokens of context" in text
    time = plan["time"]
    assert abs(time["hours"] - time["iterations"] * time["iteration_s"] / 3600 - time["evaluation_hours"]) < 1e-6
    assert sum(time["stages_s"].values()) == time["iteration_s"]


@pytest.mark.slow
def test_a_run_that_does_not_fit_ends_with_the_cure(tmp_path: Path) -> None:
    words = ("model=qwen3_0_6b", "plan.gpu_gib=24", "trainer.activation_checkpointing=false", "rollout=hf")
    done, plan = planned(tmp_path, *words)
    assert done.returncode == 2
    assert not plan["fits"]
    error = done.stderr.strip().splitlines()[-1]
    cure = " ".join(plan["advice"]["cheapest"])
    assert cure
    assert error.startswith("error: by its plan the run does not fit: train needs ")
    assert error.endswith(f"it fits with {cure}")
    assert f"fits by plan with {cure}" in done.stdout
    folder = "hydra.run.dir=cured"
    again = python(str(ROOT / "run.py"), "task=plan", *words, *plan["advice"]["cheapest"], folder, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "cured" / "plan.json").read_text())["fits"]


def test_rates_and_lengths_of_the_user_make_the_time(tmp_path: Path) -> None:
    words = ("model=qwen3_0_6b", "trainer.activation_checkpointing=true", "plan.completion_tokens=500")
    _, plan = planned(tmp_path, *words, "plan.decode_tokens_per_s=1000", "plan.tflops=100")
    time = plan["time"]
    assert time["stages_s"]["rollout"] == 64 * 8 * 500 / 1000
    operations = 6 * 596_049_920 * 64 * 8 * 700
    assert 0 < time["stages_s"]["updates"] - operations / 1e14 < 0.1  # two steps of the optimiser


def test_the_tiny_policy_is_planned_for_the_cpu(tmp_path: Path) -> None:
    done, plan = planned(tmp_path)
    assert done.returncode == 0, done.stderr
    assert plan["model"]["parameters"] == 175_424
    assert not plan["settings"]["on_gpu"]
    assert "process on the CPU" in done.stdout


def test_a_wrong_number_is_named(tmp_path: Path) -> None:
    done = python(str(ROOT / "run.py"), "task=plan", "plan.gpu_gib=-1", cwd=tmp_path)
    assert done.returncode == 2
    assert "plan.gpu_gib=-1" in done.stderr

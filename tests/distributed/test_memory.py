"""Ways to save memory: another place or another type, and the same run on one process, on two, and resumed."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.processes import new_process
from tests.runs import RunPy, records
from tests.training.test_run import assert_same_weights, without_times

pytestmark = pytest.mark.slow

TWO_RANKS = ("trainer=fsdp2", "trainer.devices=2")
SHORT = ("eval.every=100", "eval.base=false", "callbacks.checkpoint.every=1")
OPTIONAL = str(Path(sys.prefix) / "optional")


def metrics(run: Path) -> list[dict[str, float]]:
    return without_times([record for record in records(run / "metrics.jsonl") if "train/loss" in record])


def test_weights_in_host_memory_train_the_same(run_py: RunPy, tmp_path: Path) -> None:
    one = (*TWO_RANKS[:1], "trainer.devices=1", *SHORT, "iterations=2")
    plain = run_py(tmp_path / "plain", *one)
    away = run_py(tmp_path / "away", *one, "trainer.cpu_offload=true")
    assert metrics(away) == metrics(plain)
    assert_same_weights(away, plain)


def test_frozen_weights_in_bfloat16_are_those_of_one_rank(run_py: RunPy, tmp_path: Path) -> None:
    adapted = ("model.lora.rank=4", "model.lora.base_dtype=bfloat16", *SHORT, "iterations=2")
    one, two = run_py(tmp_path / "one", *adapted), run_py(tmp_path / "two", *adapted, *TWO_RANKS)
    for mine, other in zip(metrics(one), metrics(two), strict=True):
        assert mine["train/reward_mean"] == pytest.approx(other["train/reward_mean"], abs=0.05)
        assert mine["train/grad_norm"] == pytest.approx(other["train/grad_norm"], rel=0.05)


def with_torchao(*words: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A process that finds torchao, whichever other folders it looks into."""
    return new_process(
        *words, variables={**variables, "PYTHONPATH": os.pathsep.join([OPTIONAL, variables["PYTHONPATH"]])}
    )


def test_moments_of_8_bits_are_resumed_on_two_ranks(run_py: RunPy, tmp_path: Path) -> None:
    """torchao compiled, its state sharded, away while the engine samples, saved and taken up again."""
    quantised = (*TWO_RANKS, "optimizer=adamw8bit", "trainer.offload_optimizer=true", *SHORT)
    whole = run_py(tmp_path / "whole", *quantised, "iterations=3", start=with_torchao)
    parts = run_py(tmp_path / "parts", *quantised, "iterations=2", start=with_torchao)
    run_py(parts, f"ckpt={parts}", "iterations=3", start=with_torchao)
    assert metrics(parts) == metrics(whole)
    assert_same_weights(parts, whole)

"""Training with the verification service: real maths, real workers, and workers that are killed in mid-run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rsgrpo import run_folder
from rsgrpo.data.countdown import splits
from tests.runs import ROOT, RunPy, records
from tests.training.test_run import assert_same_weights, without_times

BENCHMARKS = {
    "math500": "math500",
    "aime24": "aime24",
    "aime25": "aime25",
    "hmmt_feb_2024": "hmmt_feb_2024",
    "hmmt_feb_2025": "hmmt_feb_2025",
    "cmimc_2025": "cmimc_2025",
}


@pytest.mark.slow
def test_two_iterations_on_math12k_with_its_six_benchmarks(run_py: RunPy, shared: Path, tmp_path: Path) -> None:
    data = shared / "data"
    run = run_py(
        tmp_path / "run",
        "data=math12k",
        f"data.path={data / 'math12k_train.jsonl'}",
        *(f"data.tests.{name}.path={data / file}.jsonl" for name, file in BENCHMARKS.items()),
        "data.max_prompt_tokens=400",
        "data.validation=16",
        "iterations=2",
        "batching.prompts_per_iteration=4",
        "batching.completions_per_prompt=2",
        "sampling.max_new_tokens=8",
        "eval.validation_completions=1",
        "eval.test_completions=1",
        "eval.k=[1]",
        "eval.every=2",
        "filter=none",
        "callbacks.completions.every=1",
        settings=(),
    )
    printed = (run / "terminal.txt").read_text()
    (line,) = [line for line in printed.splitlines() if line.startswith("train: ")]
    for said in (
        "2 with an empty problem or answer",
        "16 kept for validation",
        "longer than data.max_prompt_tokens=400",
    ):
        assert said in line
    recorded = run_folder.read_json(run / run_folder.RUN)["data"]
    assert recorded["sources"].keys() == {"math12k", *BENCHMARKS}
    assert f"train: {recorded['train']['problems']:,} problems" in printed
    assert f"reading {recorded['train']['problems']:,} gold answers" in printed
    metrics = records(run / "metrics.jsonl")
    trained = [record for record in metrics if "train/loss" in record]
    assert [record["iteration"] for record in trained] == [1, 2]
    # A policy with random weights finishes hardly ever and boxes nothing.
    assert all(record["train/reward/no_box"] == 1.0 and record["train/reward_mean"] == 0.0 for record in trained)
    tested = [record for record in metrics if "eval/test/pass@1" in record]
    assert [record["iteration"] for record in tested] == [0, 2]
    assert all({f"eval/test/{name}/pass@1" for name in BENCHMARKS} <= record.keys() for record in tested)
    assert all(name in printed for name in BENCHMARKS)
    (first, *_) = records(run / "rollouts.jsonl")
    assert first["problem"].endswith("put your final answer within \\boxed{}")


def puzzles(folder: Path) -> Path:
    """Countdown as maths: the answer is the target, and any boxed expression of that value equals it."""
    file = folder / "puzzles.jsonl"
    rows = [{"id": p.id, "problem": p.text, "answer": p.answer} for p in splits()["train"][:64]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def workers_of(pid: int) -> list[int]:
    """The verification workers of a process, by their parent."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text()
        except OSError:  # it has ended meanwhile
            continue
        if parent == pid and "rsgrpo.verification.verifier" in command:
            found.append(int(folder.name))
    return found


def trained_on_puzzles(file: Path, run: Path, *, kills: bool) -> tuple[list[dict[str, Any]], int]:
    """(metrics without times, how many workers were killed) of a run with a pretrained policy.

    All workers are killed once after each iteration.
    """
    command = [
        sys.executable, "run.py", f"hydra.run.dir={run}", "data=local", f"data.path={file}",
        "data.suffix=''", "iterations=8", "batching.prompts_per_iteration=16", "batching.completions_per_prompt=8",
        "reward.workers=2", "trainer.threads=1",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    killed, seen = 0, 0
    with (run.parent / f"{run.name}.txt").open("w") as terminal:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=terminal, stderr=terminal)
        while process.poll() is None:
            finished = len(run_folder.read(run / run_folder.METRICS))
            for pid in workers_of(process.pid) if kills and finished > seen else ():
                os.kill(pid, signal.SIGKILL)
                killed += 1
            seen = finished
            time.sleep(0.02)
    assert process.returncode == 0, (run.parent / f"{run.name}.txt").read_text()
    return without_times(records(run / "metrics.jsonl")), killed


@pytest.mark.slow
def test_workers_killed_by_hand_in_mid_run_change_nothing(tmp_path: Path) -> None:
    file = puzzles(tmp_path)
    unharmed, _ = trained_on_puzzles(file, tmp_path / "unharmed", kills=False)
    harmed, killed = trained_on_puzzles(file, tmp_path / "harmed", kills=True)
    assert killed >= 8
    assert [record["train/accuracy"] for record in unharmed if "train/accuracy" in record] != [0.0] * 8
    assert harmed == unharmed
    assert_same_weights(tmp_path / "harmed", tmp_path / "unharmed")
    assert workers_of(os.getpid()) == []

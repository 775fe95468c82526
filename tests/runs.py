"""Real runs of the command line on a policy with random weights, which needs no pretraining."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from rsgrpo import run_folder
from tests.processes import ROOT, Python, new_process, python

RunPy = Callable[..., Path]
OneForAll = Callable[[str, Callable[[Path], object]], Path]

SETTINGS = (
    "reward=custom",
    "reward._target_=tests.training.parity_reward.ParityReward",
    "objective.beta=4",
    "iterations=6",
    "batching.prompts_per_iteration=8",
    "batching.completions_per_prompt=4",
    "batching.prompts_per_update=4",
    "optimizer.lr=1e-3",
    "optimizer.warmup_steps=3",
    "sampling.max_new_tokens=12",
    "eval.every=2",
    "eval.validation_prompts=4",
    "eval.validation_completions=4",
    "eval.test_every=3",
    "eval.test_completions=4",
    "eval.curve_completions=2",
    "eval.k=[1,4]",
    "data.levels=[2]",
    "callbacks.checkpoint.every=1",
)


@pytest.fixture(scope="session")
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> OneForAll:
    """`one_for_all(name, make)`: a folder that one process of tests makes for all of them, and that none changes."""
    mine = tmp_path_factory.getbasetemp()
    above = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = above / "shared" / name, above / "shared" / f"{name}.done"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def random_policy(one_for_all: OneForAll) -> Path:
    """A Hugging Face folder with random weights."""
    from rsgrpo.models.policy import Policy  # conftest.py imports this file
    from rsgrpo.models.tiny import build_model, build_tokenizer

    def make(folder: Path) -> None:
        tokenizer = build_tokenizer()
        Policy(build_model(tokenizer, hidden_size=64, num_layers=2, seed=0), tokenizer).save_pretrained(folder)

    return one_for_all("random", make)


@pytest.fixture(scope="session")
def run_py(random_policy: Path) -> RunPy:
    """`run_py(folder, *overrides)`: a run of `run.py` in `folder`, small settings first; returns the folder."""

    def run(folder: Path, *overrides: str, settings: tuple[str, ...] = SETTINGS, start: Python = python) -> Path:
        named = () if any(o.startswith("ckpt=") for o in overrides) else (f"hydra.run.dir={folder}",)
        base = () if any(o.startswith("ckpt=") for o in overrides) else (f"model.path={random_policy}", *settings)
        trusted = [word for word in run_folder.read_overrides(folder) if "_target_" in word] if not named else []
        words = ("run.py", *named, *base, *trusted, *overrides)
        finished = start(*words, variables={"PYTHONPATH": str(ROOT)})
        assert finished.returncode == 0, finished.stdout + finished.stderr
        (folder / "terminal.txt").write_text(finished.stdout + finished.stderr)
        return folder

    return run


@pytest.fixture(scope="session")
def six_iterations(run_py: RunPy, one_for_all: OneForAll) -> Path:
    """One uninterrupted run of six iterations, two updates each, in a process of its own."""
    return one_for_all("six", lambda folder: run_py(folder, start=new_process))


def records(file: Path) -> list[dict[str, Any]]:
    """The records of a JSON Lines file."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def without_times(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without what depends on the clock."""
    return [{k: v for k, v in record.items() if not k.startswith("time/")} for record in metrics]

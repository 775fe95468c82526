"""Whole runs of the copy by the command line: resumed against uninterrupted, two ranks against one."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsgrpo import run_folder
from rsgrpo.doctor.table import Result
from rsgrpo.errors import UserError
from rsgrpo.workers.last_words import last_words

SMALL = (
    *("data=countdown", "data.levels=[2]", "reward=custom", "reward._target_=rsgrpo.doctor.rewards.EvenTokens"),
    *("filter=none", "callbacks.checkpoint.every=1", "logger=csv", "demonstrations=countdown"),
    *("batching.prompts_per_iteration=4", "batching.completions_per_prompt=4", "batching.prompts_per_update=2"),
    *("batching.row_tokens=256", "sampling.max_new_tokens=16", "eval.sampling.max_new_tokens=1"),
    *("eval.base=false", "eval.validation_prompts=1", "eval.validation_completions=1", "eval.test_completions=1"),
    *("eval.k=[1]", "eval.every=100", "model.chat_template=false", "optimizer.lr=1e-4"),
)
"""The run whose parts are the user's machine, model, engine, trainer and optimiser, and which takes seconds."""

EXACT, NEARLY = 0.0, 2e-2
"""Bounds of relative differences of what is logged: on a CPU, and where kernels add up in any order."""

PATIENCE = 300
"""Seconds that one run may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Where they are written, and the words that they all have."""

    folder: Path
    words: Sequence[str]
    on_gpu: bool

    def resumed_is_uninterrupted(self) -> Result:
        """Two iterations in one go, and one that is resumed for another."""
        whole, parts = self.folder / "whole", self.folder / "parts"
        self._run(whole, "iterations=2")
        self._run(parts, "iterations=1")
        self._run(parts, "iterations=2", f"ckpt={parts}")
        return compared(logged(whole), logged(parts), NEARLY if self.on_gpu else EXACT)

    def two_ranks_are_one(self) -> Result:
        """The same run sharded over two processes."""
        one, two = self.folder / "whole", self.folder / "two"
        if not (one / run_folder.DONE).exists():
            self._run(one, "iterations=2")
        self._run(two, "iterations=2", "trainer=fsdp2", "trainer.devices=2", f"trainer.accelerator={self._accelerator}")
        return compared(logged(one), logged(two), NEARLY)

    @property
    def _accelerator(self) -> str:
        return "gpu" if self.on_gpu else "cpu"

    def _run(self, folder: Path, *words: str) -> None:
        """One run in a process of its own.

        Raises:
            UserError: with its last words, where it fails.
        """
        command = [sys.executable, "-m", "rsgrpo", *self.words, *SMALL, *words, f"hydra.run.dir={folder}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            told = last_words(done.stdout + done.stderr)
            raise UserError(f"the run in {folder.name} ended with exit code {done.returncode}: {told}")


def logged(folder: Path) -> list[dict[str, float]]:
    """What a run has logged of its iterations, without times and without gaps, which are rounding alone."""
    lines = (folder / run_folder.METRICS).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [
        {name: value for name, value in record.items() if name.startswith("train/") and "gap" not in name}
        for record in records
        if "train/loss" in record
    ]


def compared(one: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]], bound: float) -> Result:
    """The largest relative difference of any metric of any iteration."""
    if len(one) != len(other) or not one or any(a.keys() != b.keys() for a, b in zip(one, other, strict=True)):
        return Result(f"{len(one)} iterations against {len(other)}, or other metrics", "the same", False)
    worst, where = 0.0, ""
    for iteration, (a, b) in enumerate(zip(one, other, strict=True), start=1):
        for name in a:
            gap = abs(a[name] - b[name]) / max(abs(a[name]), abs(b[name]), 1e-3)
            if gap > worst or gap != gap:
                worst, where = gap, f" ({name}, iteration {iteration})"
    words = f"{sum(map(len, one))} numbers, largest relative difference {worst:.2g}{where}"
    return Result(words, f"{bound:g}", worst <= bound)

"""Run folders as runs leave them, without a run: configuration, evaluations and metrics with chosen numbers."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rsgrpo import run_folder

CONFIG: dict[str, Any] = {
    "seed": 0,
    "iterations": 60,
    "task": {"_target_": "rsgrpo.tasks.train.train"},
    "objective": {"_target_": "rsgrpo.objectives.rs_grpo.RSGRPO", "beta": 2.0, "estimator": "plugin"},
    "schedule": {"_target_": "rsgrpo.schedules.constant.Constant", "iterations": 60},
    "model": {"path": None, "cache_dir": "/cache", "pretrain": {"seed": 0, "steps": 1200}},
    "batching": {"prompts_per_iteration": 4, "completions_per_prompt": 8, "row_tokens": 4096},
    "eval": {"k": [1, 4], "sampling": {"_target_": "rsgrpo.types.Sampling", "temperature": 1.0, "top_p": 1.0}},
    "trainer": {"threads": 1},
}

GRPO = {"objective": {"_target_": "rsgrpo.objectives.grpo.GRPO", "normalize_std": False}}


def changed(**sections: Any) -> dict[str, Any]:
    """The configuration with whole sections replaced, or keys of a section: `model__path=...`."""
    config = copy.deepcopy(CONFIG)
    for name, value in sections.items():
        *parents, last = name.split("__")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config


def write_run(
    folder: Path,
    config: Mapping[str, Any],
    counts: Mapping[int, Sequence[int]],
    *,
    n: int = 8,
    split: str = "test",
    datasets: Sequence[str] = (),
    described: Mapping[str, Any] | None = None,
    tokens: float = 10.0,
) -> Path:
    """A run with `counts` of right answers per problem after each iteration, and a metric of every fifth one."""
    (folder / "eval").mkdir(parents=True)
    (folder / run_folder.CONFIG).write_text(yaml.safe_dump(dict(config)))
    (folder / run_folder.OVERRIDES).write_text("[]")
    (folder / run_folder.RUN).write_text(json.dumps({"format": 2, "id": folder.name, **(described or {})}))
    rows = [
        {
            "iteration": iteration,
            "problem_id": f"problem {i}",
            "n": n,
            "correct": correct,
            "mean_tokens": tokens,
            "truncated": 1,
            "facts": {"dataset": datasets[i]} if datasets else {},
        }
        for iteration, solved in counts.items()
        for i, correct in enumerate(solved)
    ]
    run_folder.append(folder / "eval" / f"{split}.jsonl", rows)
    last = max(counts, default=0)
    metrics = [
        {
            "iteration": iteration,
            "train/reward_mean": 0.5,
            "train/completion_tokens_mean": tokens,
            "train/entropy": 1.0 / iteration,
            "time/step_s": 2.0,
        }
        for iteration in range(1, last + 1)
    ]
    run_folder.append(folder / run_folder.METRICS, metrics)
    return folder

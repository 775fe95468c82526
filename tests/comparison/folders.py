"""Run folders as runs leave them, without a run: configuration, evaluations and metrics with chosen numbers."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
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
    logged: Callable[[int], Mapping[str, float]] | None = None,
) -> Path:
    """A run with `counts` of right answers per problem after each iteration; `logged` adds to its metrics."""
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
            **(logged(iteration) if logged else {}),
        }
        for iteration in range(1, last + 1)
    ]
    run_folder.append(folder / run_folder.METRICS, metrics)
    return folder


def write_samples(folder: Path, samples: Sequence[Sequence[tuple[str | None, bool]]], **columns: Any) -> None:
    """(answer, correct) of every sample of each problem of `write_run`, in two chunks; other columns as given.

    `logprob` is that of every sample's mean token; `texts` those of the first chunk of each problem.
    """
    chunks = []
    for i, own in enumerate(samples):
        for start, part in ((0, own[: len(own) // 2]), (len(own) // 2, own[len(own) // 2 :])):
            texts = columns.get("texts", {}) if start == 0 else {}
            chunks.append(
                {
                    "problem": f"problem {i}",
                    "start": start,
                    "answers": columns.get("answers", [answer for answer, _ in part]),
                    "correct": [int(correct) for _, correct in part],
                    "rewards": columns.get("rewards", {}).get((i, start), [float(correct) for _, correct in part]),
                    "tokens": [10] * len(part),
                    "finished": [1] * len(part),
                    "logprobs": [columns.get("logprob", -0.5)] * len(part),
                    "parts": {},
                }
                | ({"texts": texts} if texts else {})
            )
    run_folder.append_block(folder / run_folder.SAMPLES.format(split="test"), chunks)


def write_evaluation(
    folder: Path,
    samples: Sequence[Sequence[tuple[str | None, bool]]],
    *,
    policy: str | None = None,
    temperature: float = 1.0,
    **columns: Any,
) -> Path:
    """An evaluation by `task=evaluate`, of the policy of a run or of the base, with all of its samples."""
    config = changed(task={"_target_": "rsgrpo.tasks.evaluate.evaluate"}, model__path=policy)
    config["eval"]["sampling"]["temperature"] = temperature
    counts = [sum(correct for _, correct in own) for own in samples]
    write_run(folder, config, {0: counts}, n=len(samples[0]))
    write_samples(folder, samples, **columns)
    return folder

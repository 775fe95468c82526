"""How many tokens a run has sampled and trained, from its records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsgrpo.run_folder.names import METRICS, TEST, VALIDATION
from rsgrpo.run_folder.reading import read, read_config


def tokens(run: Path) -> dict[str, int]:
    """`sampled` in training, `evaluated` (sampled in evaluations) and `trained` (loss tokens, once per pass).

    They count all processes of a run. What it has not logged, because a callback is off, is left out.

    Raises:
        UserError: when a file of the run is damaged.
    """
    config, metrics = read_config(run), read(run / METRICS)
    batching = config.get("batching", {})
    completions = batching.get("prompts_per_iteration", 0) * batching.get("completions_per_prompt", 0)
    iterations = [record for record in metrics if any(name.startswith("train/") for name in record)]
    results = [record for file in (VALIDATION, TEST) for record in read(run / file)]
    means = [record.get("train/completion_tokens_mean") for record in iterations]
    found = {
        "sampled": None if None in means or not means else sum(round(mean * completions) for mean in means),
        "evaluated": sum(round(record["mean_tokens"] * record["n"]) for record in results) if results else None,
        "trained": _sum([_trained(record) for record in iterations]),
    }
    return {name: count for name, count in found.items() if count is not None}


def _trained(record: Mapping[str, Any]) -> float | None:
    """Loss tokens of an iteration; one in which every group was dropped has none."""
    return record.get("train/loss_tokens", 0 if record.get("train/groups_kept") == 0 else None)


def _sum(counts: list[float | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return round(sum(known)) if counts and len(known) == len(counts) else None

"""The moving averages of `schedule=adaptive`, computed anew from the records of a run alone."""

from pathlib import Path
from typing import Any

from tests.runs import records


def moving_averages(visits: list[dict[str, Any]], decay: float) -> dict[str, float]:
    """Each prompt's accuracy after these visits: the first sets it, each later one moves it."""
    accuracy: dict[str, float] = {}
    for visit in visits:
        now, prompt = visit["correct"] / visit["n"], visit["prompt"]
        accuracy[prompt] = decay * accuracy[prompt] + (1 - decay) * now if prompt in accuracy else now
    return accuracy


def accuracies_before(run: Path, iteration: int, *, decay: float = 0.5, prior: float = 0.5) -> list[float]:
    """What was known of each prompt that was trained on in an iteration, from the visits of earlier iterations."""
    visits = records(run / "prompts.jsonl")
    known = moving_averages([v for v in visits if v["iteration"] < iteration], decay)
    kept = [v["prompt"] for v in visits if v["iteration"] == iteration and v["dropped"] is None]
    return [known.get(prompt, prior) for prompt in kept]

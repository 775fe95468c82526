"""Tokens of a run, from records small enough to count by hand."""

from pathlib import Path
from typing import Any

from rsgrpo import run_folder
from rsgrpo.run_folder.spent import tokens


def of(run: Path, metrics: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[str, int]:
    """Two prompts with four completions each."""
    (run / run_folder.CONFIG).write_text("batching: {prompts_per_iteration: 2, completions_per_prompt: 4}\n")
    run_folder.append(run / run_folder.METRICS, metrics)
    run_folder.append(run / run_folder.TEST, results)
    return tokens(run)


def a_result(iteration: int, n: int, mean_tokens: float) -> dict[str, Any]:
    counts = {"n": n, "correct": 0, "mean_tokens": mean_tokens, "truncated": 0}
    return {"iteration": iteration, "problem_id": "p", "facts": {}, **counts}


def test_tokens_of_training_and_of_evaluations_are_counted(tmp_path: Path) -> None:
    metrics = [
        {"iteration": 0, "eval/test/pass@1": 0.5},
        {"iteration": 1, "train/completion_tokens_mean": 3.125, "train/loss_tokens": 20},
        {"iteration": 2, "train/completion_tokens_mean": 4.0, "train/groups_kept": 0},
    ]
    results = [a_result(0, 3, 10 / 3), a_result(2, 2, 2.5)]
    assert of(tmp_path, metrics, results) == {"sampled": 25 + 32, "evaluated": 10 + 5, "trained": 20}


def test_what_was_not_logged_is_left_out(tmp_path: Path) -> None:
    assert of(tmp_path, [{"iteration": 1, "train/loss_tokens": 20}], []) == {"trained": 20}
    assert of(tmp_path, [{"iteration": 2, "train/entropy": 1.0}], []) == {}

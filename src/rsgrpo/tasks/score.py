"""`python run.py task=score data.path=FILE`: the reward alone, on answers and responses of a file."""

import time
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from rsgrpo import run_folder
from rsgrpo.analysis.score_table import print_scores
from rsgrpo.data.rows import Row, read_rows, value_at
from rsgrpo.rewards.base import Pending, Reward, begin, close
from rsgrpo.tasks.compose import build_reward
from rsgrpo.tasks.machine import check_run_folder
from rsgrpo.types import Completion, Group, Problem, Prompt, UserError


def score(cfg: DictConfig) -> None:
    """Score every row, and leave `scores.jsonl` and a table of counts.

    Raises:
        UserError: for a file or a column that is missing.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    if OmegaConf.is_missing(cfg.data, "path"):
        raise UserError("data.path is not set; name a file of answers and responses: data.path=FILE")
    columns = dict(cfg.task.columns)
    rows = read_rows(Path(cfg.data.path), "data.path", columns=[*columns.values(), "id"])
    reward = build_reward(cfg)
    check_run_folder(run, resumes=False)
    for row in rows:
        _expected(row, columns["expected"])  # a mistake is told before the work
    begun = time.perf_counter()
    try:
        pending = [(row, _begin(reward, row, columns)) for row in rows]
        console = Console(stderr=True)
        for row, scores in track(pending, "scoring", console=console, transient=True, disable=not console.is_terminal):
            (verdict,) = scores()
            record = {"id": row.values.get("id", row.number), "value": verdict.value, "correct": verdict.correct}
            expected = _expected(row, columns["expected"])
            run_folder.append(
                run / run_folder.SCORES,
                [{**record, "parts": dict(verdict.parts), **({} if expected is None else {"expected": expected})}],
            )
    finally:
        close(reward)
    OmegaConf.save(cfg, run / run_folder.CONFIG, resolve=False)
    print_scores(run, time.perf_counter() - begun, Console())


def _expected(row: Row, column: str) -> float | None:
    """The verdict that a row expects; None where it says nothing.

    Raises:
        UserError: for what is no verdict.
    """
    cell = str(row.values.get(column) if row.values.get(column) is not None else "").strip().lower()
    if not cell:
        return None
    try:
        return float({"true": 1, "false": 0}.get(cell, cell))
    except ValueError:
        raise UserError(
            f"{row.origin}: field {column!r} is {cell!r}; write 1 or 0, true or false, or nothing"
        ) from None


def _text(row: Row, column: str, key: str) -> str:
    """The text or number of a cell.

    Raises:
        UserError: when there is none.
    """
    value = value_at(row, column, key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{row.origin}: field {column!r} is {str(value)[:40]}; it must be text or a number")
    return str(value)


def _begin(reward: Reward, row: Row, columns: dict[str, str]) -> Pending:
    """Start on a row; its other columns are what else the reward may know of the problem."""
    answer, response = (_text(row, columns[name], f"task.columns.{name}") for name in ("answer", "response"))
    problem = Problem(id=str(row.number), text="", answer=answer, origin=row.origin, facts=row.values)
    completion = Completion(token_ids=(), logprobs=torch.zeros(0), text=response, finished=True, policy_version=0)
    return begin(reward, Group(prompt=Prompt(problem=problem, token_ids=()), completions=(completion,)))

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
from rsgrpo.composition.build import build_as
from rsgrpo.composition.machine import check_run_folder
from rsgrpo.composition.prompts import readable
from rsgrpo.composition.reward import build_reward
from rsgrpo.composition.settings import ScoreSettings
from rsgrpo.data.cleaning import in_words
from rsgrpo.data.dataset import id_of
from rsgrpo.data.fields import gold_of
from rsgrpo.data.rows import Row, read_rows, text_of, value_at
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError, fields_belong_to
from rsgrpo.rewards.base import begin, close
from rsgrpo.types import Completion, Group, Problem, Prompt


def score(cfg: DictConfig) -> None:
    """Score every row, and leave `scores.jsonl` and a table of counts.

    Raises:
        UserError: for a file or a column that is missing.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    if OmegaConf.is_missing(cfg.data, "path"):
        raise UserError("data.path is not set; name a file of answers and responses: data.path=FILE")
    columns = dict(build_as(cfg, "task", ScoreSettings).columns)
    if not isinstance(cfg.data.path, str) or not cfg.data.path:
        raise UserError(f"data.path={cfg.data.path} must be the name of a file; name one: data.path=pairs.jsonl")
    with fields_belong_to("data", "path"):
        rows = read_rows(Path(cfg.data.path), "path", columns=[*columns.values(), "id"])
    reward = build_reward(cfg)
    check_run_folder(run, resumes=False)
    expectations = [_expected(row, columns["expected"]) for row in rows]  # a mistake is reported before the work
    with fields_belong_to("task", "columns"):
        groups = [_group(row, columns) for row in rows]
    try:
        _, unreadable = readable([group.prompt for group in groups], reward)
        if unreadable:
            say(f"{len(rows):,} rows, {in_words(unreadable)}")
        begun = time.perf_counter()
        pending = [
            (row, expected, begin(reward, group))
            for row, expected, group in zip(rows, expectations, groups, strict=True)
        ]
        console = Console(stderr=True)
        for row, expected, scores in track(
            pending, "scoring", console=console, transient=True, disable=not console.is_terminal
        ):
            (verdict,) = scores()
            record = {"id": id_of(row), "value": verdict.value, "correct": verdict.correct}
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
        UserError: for anything else.
    """
    cell = str(row.values.get(column) if row.values.get(column) is not None else "").strip().lower()
    if cell in ("", "nan"):  # as others write an empty cell of a column of numbers
        return None
    try:
        return float({"true": 1, "false": 0}.get(cell, cell))
    except ValueError:
        raise UserError(
            f"{row.origin}: field {column!r} is {cell!r}; write 1 or 0, true or false, or nothing"
        ) from None


def _response(row: Row, column: str, key: str) -> str:
    """The text or number of a cell: any text, since a model may write half a character.

    Raises:
        UserError: when there is none.
    """
    value = value_at(row, column, key)
    if value is None:
        raise UserError(f"{row.origin}: field {column!r} is null; it must be text or a number")
    return value if isinstance(value, str) else text_of(value, row, column)


def _gold(row: Row, column: str, key: str) -> str:
    """The answer that a response is compared with, read as it is for training.

    Raises:
        UserError: when there is none.
    """
    gold = gold_of(value_at(row, column, key), row, column, key)
    if gold.why is not None or not gold.text:
        why = "" if gold.why is None else f" ({gold.why})"
        raise UserError(f"{row.origin}: field {column!r} has no answer{why}; fill it in or remove the row")
    return gold.text


def _group(row: Row, columns: dict[str, str]) -> Group:
    """The problem and the response of a row; its other columns are what else the reward may know of the problem."""
    answer = _gold(row, columns["answer"], "columns.answer")
    response = _response(row, columns["response"], "columns.response")
    problem = Problem(id=str(row.number), text="", answer=answer, origin=row.origin, facts=row.values)
    completion = Completion(token_ids=(), logprobs=torch.zeros(0), text=response, finished=True, policy_version=0)
    return Group(prompt=Prompt(problem=problem, token_ids=()), completions=(completion,))

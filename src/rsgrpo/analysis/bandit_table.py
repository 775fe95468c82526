"""The bandit in the terminal: who escaped the local optimum, when, and what was left of the policy's entropy."""

import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rsgrpo import run_folder
from rsgrpo.analysis.tables import plain_table, whole_width


def print_bandit(run: Path, console: Console) -> None:
    """One row per objective and value."""
    content = run_folder.read_json(run / run_folder.BANDIT)
    table = bandit_table(content)
    whole_width(console, table)
    for name, reason in content["refused"].items():
        console.print(f"not played: {name}: {reason}", soft_wrap=True, highlight=False)


def bandit_table(content: dict[str, Any]) -> Table:
    """Medians over the seeds; a time is that of the runs that got there."""
    fields = {played["field"] for played in content["played"]} - {None}
    thresholds = list(content["played"][0]["runs"][0]["crossings"])
    arms, above = len(content["landscape"]["reward"]), content["escaped_above"]
    table = plain_table(
        title=f"bandit: {arms} arms, {content['pulls']:,} pulls, {content['seeds']} seeds",
        caption=f"escaped: moving average over {content['window']:,} pulls ends at {above:g} or above\n"
        "pulls to: first window whose mean reaches it; medians over the seeds",
    )
    table.add_column("objective", no_wrap=True)
    value = fields.pop() if len(fields) == 1 else "beta or k"
    for column in (value, "escaped", *(f"pulls\nto {t}" for t in thresholds), "final\nreward", "final\nentropy"):
        table.add_column(column, justify="right", no_wrap=True)
    for played in content["played"]:
        for run in played["runs"]:
            table.add_row(
                played["name"],
                _value(run["value"], played),
                f"{len(escaped(run, content))}/{len(run['final_reward'])}",
                *(_median([at for at in run["crossings"][t] if at is not None], ",.0f") for t in thresholds),
                _median(run["final_reward"], ".4f"),
                _median(run["final_entropy"], ".3f"),
            )
    return table


def _value(value: float | None, played: dict[str, Any]) -> str:
    """The value that was played: one of several, the objective's own, or that of a schedule."""
    value = played["own_value"] if value is None else value
    return f"{value:g}" if value is not None else "" if played["field"] is None else "scheduled"


def escaped(run: dict[str, Any], content: dict[str, Any]) -> list[float]:
    """The final rewards of the seeds that escaped."""
    return [reward for reward in run["final_reward"] if reward >= content["escaped_above"]]


def _median(values: list[float], form: str) -> str:
    return format(statistics.median(values), form) if values else "never"

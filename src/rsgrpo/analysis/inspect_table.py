"""What `task=inspect` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from rsgrpo.analysis.compare_table import number
from rsgrpo.analysis.tables import plain_table, whole_width
from rsgrpo.comparison.history import Asked, Change, History, word_for

BAR = 20
"""Characters of an accuracy of 1."""


def print_history(history: History, console: Console, completions: int) -> None:
    """Accuracies of each evaluation, visits in training, and the last recorded completions."""
    console.print(history.problem if history.text is None else f"{history.problem}: {history.text}", **PLAIN)
    for where in ("test", "validation", "train"):
        if asked := [one for one in history.asked if one.where == where]:
            whole_width(console, _accuracies(where, asked))
    visits = [one for one in history.asked if one.where == "train"]
    if visits:
        solved = sum(one.correct > 0 for one in visits)
        first = next((f", first in iteration {one.iteration}" for one in visits if one.correct), "")
        times = f"{len(visits)} time{'s' * (len(visits) > 1)}"
        console.print(f"visited {times} in training, solved at {solved} of them{first}", **PLAIN)
    else:
        console.print("never visited in training", **PLAIN)
    shown = history.completions[len(history.completions) - min(completions, len(history.completions)) :]
    for one in shown:
        verdict = {True: "right", False: "wrong", None: ""}[one.correct]
        console.print(f"\niteration {one.iteration}, reward {one.reward:g} {verdict}", style="bold", **PLAIN)
        console.print(one.completion, **PLAIN)
    if not history.completions:
        console.print(
            "no completion of it was recorded; callbacks.completions.every and .groups say how many are", **PLAIN
        )


def print_changes(changes: Mapping[str, tuple[Sequence[Change], Sequence[Change]]], console: Console) -> None:
    """The problems whose accuracy rose and fell most, by split."""
    for where, (rose, fell) in changes.items():
        for direction, found in (("rose", rose), ("fell", fell)):
            if not found:
                continue
            table = plain_table(f"{where}: accuracy {direction} most", "")
            for column in ("problem", "first", "last", "change"):
                table.add_column(column, justify="left" if column == "problem" else "right", no_wrap=True)
            for change in found:
                table.add_row(change.problem, _of(change.first), _of(change.last), number(change.size, "+"))
            whole_width(console, table)
    changed = [change for lists in changes.values() for found in lists for change in found]
    if changed:
        console.print(f"one of them over training: {word_for(changed[0].problem)}", **PLAIN)
    else:
        console.print("every problem was solved as often at the end as at the beginning", **PLAIN)


PLAIN: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False}


def _accuracies(where: str, asked: Sequence[Asked]) -> Table:
    table = plain_table("visits in training" if where == "train" else f"{where} evaluations", "")
    for column in ("iteration", "right", "accuracy", ""):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for one in asked:
        bar = "█" * round(BAR * one.accuracy)
        table.add_row(str(one.iteration), f"{one.correct} of {one.n}", number(one.accuracy), bar)
    return table


def _of(asked: Asked) -> str:
    return f"{asked.correct} of {asked.n} ({asked.iteration})"

"""The leaderboard of a bench as tables on the terminal."""

import math
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from rsgrpo.analysis.tables import plain_table, whole_width
from rsgrpo.bench.standings import BASE, Board, Entry, Leaderboard, Standing

DIGITS = {"tokens": 1, "seconds": 0}
"""Behind the point, where it is not three."""

PLAIN = ("tokens", "seconds")
"""Shown without an interval."""


def print_leaderboard(
    found: Leaderboard, rates: Mapping[tuple[str, str], Mapping[float, float]], console: Console
) -> None:
    """A table of scores and one of differences for each task, the tasks together, and how the rates were chosen."""
    for board in found.boards:
        whole_width(console, _scores(board, found))
        whole_width(console, _differences(board, found))
        for arm, why in board.undefined.items():
            console.print(f"{arm}: not defined here: {why}", highlight=False, soft_wrap=True)
    if found.overall:
        whole_width(console, _overall(found))
    if rates:
        whole_width(console, _rates(rates, found))


def _scores(board: Board, found: Leaderboard) -> Table:
    level = f"{found.level:.0%}"
    table = plain_table(
        f"{board.task}: {board.problems} test problems, {board.n} completions each",
        f"± is half of Student's {level} interval over runs, each a (base, seed). Rank: the places in the first score "
        "that an arm may have, by which others are better or worse beyond noise. *: no other arm is better in both "
        f"pass@1 and pass@{found.k}.",
    )
    names = list(dict.fromkeys(name for standing in board.standings for name in standing.entries))
    table.add_column("arm", no_wrap=True)
    for column in ("rank", "runs", "rate", *names):
        table.add_column(column, justify="right", no_wrap=True)
    for standing in board.standings:
        scores = [_mean(name, standing.entries.get(name)) for name in names]
        rate = "" if standing.rate is None else f"{standing.rate:g}"
        table.add_row(_label(standing), standing.rank, str(standing.runs), rate, *scores)
    return table


def _label(standing: Standing) -> str:
    marks = f" ({'; '.join(standing.marks)})" if standing.marks else ""
    return f"{standing.arm}{' *' if standing.on_front else ''}{marks}"


def _mean(name: str, entry: Entry | None) -> str:
    if entry is None:
        return ""
    digits = DIGITS.get(name, 3)
    shown = f"{entry.mean.estimate:.{digits}f}"
    half = (entry.mean.high - entry.mean.low) / 2
    return shown if name in PLAIN or math.isnan(half) else f"{shown} ±{half:.{digits}f}"


def _differences(board: Board, found: Leaderboard) -> Table:
    table = plain_table(
        f"{board.task}: difference to {found.baseline}",
        f"Paired by base and seed, with the {found.level:.0%} interval. !: beyond noise, Holm-corrected over the arms. "
        "In brackets: the smallest difference that so many runs show with a chance of 80 %.",
    )
    names = [name for name in next(iter(board.standings)).entries if name not in PLAIN]
    table.add_column("arm", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for standing in board.standings:
        if standing.arm != found.baseline:
            table.add_row(standing.arm, *(_difference(standing.entries.get(name), found.level) for name in names))
    return table


def _difference(entry: Entry | None, level: float) -> str:
    one = None if entry is None else entry.difference
    if entry is None or one is None:
        return ""
    if math.isnan(one.low):
        return f"{one.estimate:+.3f}"
    needed = "" if math.isnan(entry.detectable) else f" ({entry.detectable:.3f})"
    return f"{one.estimate:+.3f}{'!' if entry.decided(level) else ''} [{one.low:+.3f}, {one.high:+.3f}]{needed}"


def _overall(found: Leaderboard) -> Table:
    table = plain_table(
        "all tasks: share of what the base leaves unsolved",
        "Interquartile mean over tasks and runs of (score - base) / (1 - base): 0 is the base, 1 is everything. A "
        f"description of these {len(found.boards)} tasks, {BASE} being each run's own; it claims nothing of others.",
    )
    table.add_column("arm", no_wrap=True)
    for name in found.overall[0].iqm:
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.overall:
        table.add_row(one.arm, *(f"{value:+.3f}" for value in one.iqm.values()))
    return table


def _rates(rates: Mapping[tuple[str, str], Mapping[float, float]], found: Leaderboard) -> Table:
    every = sorted({rate for own in rates.values() for rate in own})
    table = plain_table(
        "learning rates",
        f"auc@{found.k} on the validation split of the tuning runs, on a base and a seed of their own; the highest is "
        "used.",
    )
    table.add_column("arm", no_wrap=True)
    for rate in every:
        table.add_column(f"{rate:g}", justify="right", no_wrap=True)
    for (task, arm), own in sorted(rates.items()):
        best = max(own, key=lambda rate: own[rate])
        shown = [f"{own[rate]:.3f}{'<' if rate == best else ' '}" if rate in own else "" for rate in every]
        table.add_row(f"{arm} on {task}", *shown)
    return table

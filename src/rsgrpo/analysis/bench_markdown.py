"""The leaderboard of a bench as Markdown, for a page or an issue."""

import math
from collections.abc import Iterator, Mapping, Sequence

from rsgrpo.bench.standings import Board, Entry, Leaderboard, Standing

MARKDOWN = "leaderboard.md"

NO_INTERVAL = ("tokens", "seconds")


def markdown(found: Leaderboard, rates: Mapping[tuple[str, str], Mapping[float, float]]) -> str:
    """For each task the scores, the differences and the learning rates, and all tasks together."""
    parts = [part for board in found.boards for part in _of_task(board, found, rates)]
    if found.overall:
        rows = [[one.arm, *(f"{value:+.3f}" for value in one.iqm.values())] for one in found.overall]
        parts += ["## All tasks", _table(["arm", *found.overall[0].iqm], rows)]
    return "\n\n".join(parts) + "\n"


def _of_task(board: Board, found: Leaderboard, rates: Mapping[tuple[str, str], Mapping[float, float]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for standing in board.standings for name in standing.entries))
    yield f"## {board.task}"
    measured = f"{board.problems} test problems, {board.n} completions each"
    yield f"{measured}; mean ± half of the {found.level:.0%} interval over runs."
    rows = [
        [
            f"{standing.arm}{' *' if standing.on_front else ''}",
            *(standing.rank, str(standing.runs), _optional(standing.rate)),
            *(_mean(name, standing.entries.get(name)) for name in names),
        ]
        for standing in board.standings
    ]
    yield _table(["arm", "rank", "runs", "rate", *names], rows)
    compared = [name for name in names if name not in NO_INTERVAL]
    corrected = "beyond noise after Holm's correction over the arms"
    yield f"Minus {found.baseline}, paired by base and seed; **bold**: {corrected}."
    others = [standing for standing in board.standings if standing.arm != found.baseline]
    rows = [[one.arm, *(_difference(one, name, found.level) for name in compared)] for one in others]
    yield _table(["arm", *compared], rows)
    shown = {standing.arm for standing in board.standings}
    own = {arm: tried for (task, arm), tried in sorted(rates.items()) if task == board.task and arm in shown}
    every = sorted({rate for tried in own.values() for rate in tried})
    if own:
        yield f"auc@{found.k} on the validation split at each learning rate, from a base and with a seed of their own."
        rows = [[arm, *(_rate(tried, rate) for rate in every)] for arm, tried in own.items()]
        yield _table(["arm", *(f"{rate:g}" for rate in every)], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _mean(name: str, entry: Entry | None) -> str:
    if entry is None:
        return ""
    if name in NO_INTERVAL:
        return f"{entry.mean.estimate:.0f}"
    half = (entry.mean.high - entry.mean.low) / 2
    return f"{entry.mean.estimate:.3f}" + ("" if math.isnan(half) else f" ± {half:.3f}")


def _difference(standing: Standing, name: str, level: float) -> str:
    entry = standing.entries.get(name)
    if entry is None or entry.difference is None:
        return ""
    one = entry.difference
    estimate = f"**{one.estimate:+.3f}**" if entry.decided(level) and not standing.is_base else f"{one.estimate:+.3f}"
    return estimate if math.isnan(one.low) else f"{estimate} [{one.low:+.3f}, {one.high:+.3f}]"


def _rate(tried: Mapping[float, float], rate: float) -> str:
    if rate not in tried:
        return ""
    return f"**{tried[rate]:.3f}**" if tried[rate] == max(tried.values()) else f"{tried[rate]:.3f}"

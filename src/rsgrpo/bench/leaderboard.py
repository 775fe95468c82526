"""The leaderboard of a bench: for each task and arm every score with its interval, and its difference to GRPO's."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy import stats

from rsgrpo.bench.records import Record
from rsgrpo.bench.scores import Score, normalised, scores
from rsgrpo.bench.standings import BASE, Board, Entry, Leaderboard, Overall, Standing
from rsgrpo.intervals.base import LEVEL
from rsgrpo.intervals.seeds import detectable, holm, paired_interval, runs_interval


def leaderboard(
    records: Sequence[Record],
    *,
    baseline: str,
    k: int,
    undefined: Mapping[str, Mapping[str, str]] | None = None,
    level: float = LEVEL,
) -> Leaderboard:
    """The leaderboard of the reported runs among `records`; `undefined` names by task the arms that refuse it.

    Runs from other weights, or on other problems, than the baseline's are left out of the differences, since no pair of
    theirs is common.
    """
    columns, undefined = scores(k), undefined or {}
    reported = [record for record in records if not record.tunes]
    tasks = sorted({record.task for record in reported}, key=[record.task for record in reported].index)
    boards = [
        _board(task, [r for r in reported if r.task == task], columns, baseline, undefined.get(task, {}), level)
        for task in tasks
    ]
    thresholds = np.linspace(-0.5, 1.0, 61).round(3).tolist()
    return Leaderboard(
        baseline=baseline,
        k=k,
        level=level,
        boards=boards,
        overall=_overall(boards, columns[:3], thresholds) if len(boards) > 1 else [],
        thresholds=thresholds,
    )


def _board(
    task: str,
    records: Sequence[Record],
    columns: Sequence[Score],
    baseline: str,
    undefined: Mapping[str, str],
    level: float,
) -> Board:
    by_arm: dict[str, list[Record]] = {}
    for record in records:
        by_arm.setdefault(record.arm, []).append(record)
    theirs = by_arm.get(baseline, [])
    entries = {arm: _entries(own, theirs if arm != baseline else None, columns, level) for arm, own in by_arm.items()}
    entries = _corrected(entries, columns, level)
    bases = _bases(records, baseline)
    entries |= {name: _of_base(own, theirs, columns, level) for name, own in bases.items()}
    ranks = _ranks({arm: entries[arm][columns[0].name] for arm in by_arm}, level)
    front = _front({arm: entries[arm] for arm in by_arm}, columns)
    standings = [
        Standing(
            arm=arm,
            rate=by_arm[arm][0].rate if arm in by_arm else None,
            runs=len(by_arm.get(arm) or bases[arm]),
            entries=own,
            ranks=ranks.get(arm),
            on_front=arm in front,
            marks=_marks(by_arm[arm], theirs) if arm in by_arm else (),
        )
        for arm, own in entries.items()
    ]
    first = columns[0].name
    return Board(
        task=task,
        problems=len(records[0].after),
        n=records[0].n,
        standings=sorted(standings, key=lambda one: -one.entries[first].mean.estimate),
        undefined=undefined,
    )


def _entries(
    own: Sequence[Record], theirs: Sequence[Record] | None, columns: Sequence[Score], level: float
) -> dict[str, Entry]:
    found = {}
    for column in columns:
        mine = {record.pair: column.of(record) for record in own}
        floor = _sampling_error(own, column)
        difference = None
        if theirs is not None:
            comparable = {r.pair for r in own} & {r.pair for r in theirs if _same_ground(r, own)}
            if comparable:
                others = {r.pair: column.of(r) for r in theirs if r.pair in comparable}
                joint = math.hypot(floor, _sampling_error(theirs, column))
                difference = paired_interval(others, {p: mine[p] for p in comparable}, floor=joint, level=level)
        mean = runs_interval(list(mine.values()), floor=floor, bounds=column.bounds, level=level)
        found[column.name] = Entry(values=mine, mean=mean, error=floor, difference=difference)
    return found


def _same_ground(record: Record, others: Sequence[Record]) -> bool:
    """Whether the run of the same pair among `others` started from the same weights, on the same problems."""
    other = next((other for other in others if other.pair == record.pair), None)
    return other is not None and (other.weights, other.problems) == (record.weights, record.problems)


def _bases(records: Sequence[Record], baseline: str) -> dict[str, list[Record]]:
    """By name, a run for each pair whose base was measured as the baseline's is, or at another temperature."""
    usual = next((r.temperature for r in records if r.arm == baseline), records[0].temperature)
    found: dict[str, dict[tuple[str, int], Record]] = {}
    for record in sorted(records, key=lambda r: r.arm != baseline):
        name = BASE if record.temperature == usual else f"{BASE} at {record.temperature:g}"
        found.setdefault(name, {}).setdefault(record.pair, record)
    return {name: list(own.values()) for name, own in found.items()}


def _of_base(
    records: Sequence[Record], theirs: Sequence[Record], columns: Sequence[Score], level: float
) -> dict[str, Entry]:
    found = {}
    for column in columns:
        if column.of_base is None:
            continue
        values = {record.pair: column.of_base(record) for record in records}
        after = {record.pair: column.of(record) for record in theirs if record.pair in values}
        floor = _sampling_error(records, column)
        mean = runs_interval(list(values.values()), floor=floor, bounds=column.bounds, level=level)
        difference = paired_interval(after, values, floor=math.sqrt(2) * floor, level=level) if after else None
        found[column.name] = Entry(values=values, mean=mean, error=floor, difference=difference)
    return found


def _sampling_error(records: Sequence[Record], column: Score) -> float:
    """Root mean square over the runs of the error that drawing samples alone gives a value."""
    return math.sqrt(sum(column.variance(record) for record in records) / len(records))


def _corrected(
    entries: Mapping[str, Mapping[str, Entry]], columns: Sequence[Score], level: float
) -> dict[str, Mapping[str, Entry]]:
    """Every difference with its p corrected over the arms under one score."""
    found: dict[str, dict[str, Entry]] = {arm: {} for arm in entries}
    for column in columns:
        own = {arm: scored[column.name] for arm, scored in entries.items()}
        p_values = [math.nan if (e.difference is None) else e.difference.p for e in own.values()]
        tests = max(1, sum(p == p for p in p_values))
        for (arm, entry), p in zip(own.items(), holm(p_values), strict=True):
            one = entry.difference
            found[arm][column.name] = Entry(
                values=entry.values,
                mean=entry.mean,
                error=entry.error,
                difference=one,
                adjusted=p,
                detectable=math.nan if one is None else detectable(one.error, one.units, level=1 - (1 - level) / tests),
            )
    return dict(found)


def _ranks(entries: Mapping[str, Entry], level: float) -> dict[str, tuple[int, int]]:
    """Which ranks each arm may have: paired t of every two arms, Holm-corrected over all of these pairs."""
    pairs = list(combinations(entries, 2))
    tests = []
    for first, second in pairs:
        a, b = entries[first], entries[second]
        floor = math.hypot(a.error, b.error)
        common = a.values.keys() & b.values.keys()
        tests.append(paired_interval(a.values, b.values, floor=floor, level=level) if common else None)
    adjusted = holm([math.nan if test is None else test.p for test in tests])
    ranks: dict[str, tuple[int, int]] = dict.fromkeys(entries, (1, len(entries)))
    for (first, second), test, p in zip(pairs, tests, adjusted, strict=True):
        if test is not None and test.flag is None and p < 1 - level:
            worse, better = (first, second) if test.estimate > 0 else (second, first)
            ranks[worse] = ranks[worse][0] + 1, ranks[worse][1]
            ranks[better] = ranks[better][0], ranks[better][1] - 1
    return ranks


def _front(entries: Mapping[str, Mapping[str, Entry]], columns: Sequence[Score]) -> set[str]:
    """The arms that no other beats in both pass@1 and pass@k."""
    one, many = columns[1].name, columns[2].name
    means = {arm: (own[one].mean.estimate, own[many].mean.estimate) for arm, own in entries.items()}
    return {
        arm
        for arm, (x, y) in means.items()
        if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in means.values())
    }


def _marks(own: Sequence[Record], theirs: Sequence[Record]) -> list[str]:
    """What tells the runs from the baseline's beside the arm, in words."""
    marks = []
    if theirs and any(not _same_ground(r, own) for r in theirs if r.pair in {o.pair for o in own}):
        marks.append("other bases or problems")
    pairs = {record.pair for record in theirs}
    if theirs and {record.pair for record in own} != pairs:
        marks.append(f"{len(pairs & {record.pair for record in own})} of {len(pairs)} pairs")
    for name in ("version", "processor"):
        others = {getattr(record, name) for record in theirs}
        if different := sorted({getattr(record, name) for record in own} - others) if others else []:
            marks.append(f"{name} {', '.join(different)}")
    return marks


def _overall(boards: Sequence[Board], columns: Sequence[Score], thresholds: Sequence[float]) -> list[Overall]:
    named = [{standing.arm: standing for standing in board.standings} for board in boards]
    arms = [arm for arm in named[0] if all(arm in own for own in named) and arm != BASE]
    found = []
    for arm in arms:
        values = {column.name: _normalised_values(named, arm, column) for column in columns}
        first = np.array(values[columns[0].name])
        found.append(
            Overall(
                arm=arm,
                iqm={name: float(stats.trim_mean(own, 0.25)) for name, own in values.items()},
                profile=[float((first > threshold).mean()) for threshold in thresholds],
            )
        )
    return sorted(found, key=lambda one: -one.iqm[columns[0].name])


def _normalised_values(named: Sequence[Mapping[str, Standing]], arm: str, column: Score) -> list[float]:
    """Of all runs on all tasks, each against its own base."""
    found = []
    for own in named:
        bases = own[BASE].entries[column.name].values
        fallback = own[BASE].entries[column.name].mean.estimate
        found += [
            normalised(value, bases.get(pair, fallback)) for pair, value in own[arm].entries[column.name].values.items()
        ]
    return found

"""The comparison itself: per measure and arm, a mean, a paired difference to the baseline, and what it decides."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rsgrpo.comparison.arms import BASE, USUAL, Arm, arms_of, policy_of, temperature_of
from rsgrpo.comparison.checks import checked, with_evaluations
from rsgrpo.comparison.measures import Measure, mean_over_benchmarks
from rsgrpo.comparison.moments import Match, moments
from rsgrpo.comparison.runs import Evaluated, Run
from rsgrpo.errors import UserError
from rsgrpo.intervals.base import LEVEL, Interval
from rsgrpo.intervals.problems import difference_interval, mean_interval
from rsgrpo.intervals.seeds import detectable, holm, paired_interval, probability_of_improvement, runs_interval


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm under one measure."""

    measure: str
    arm: str
    values: Mapping[str, float]
    """By run folder."""
    mean: Interval
    difference: Interval | None = None
    """To the baseline; None for the baseline itself, and where the two have no pair in common."""
    improvement: float | None = None
    """P(a run of this arm is higher than one of the baseline's from the same base)."""
    adjusted: float = float("nan")
    """p of the difference, Holm-corrected over the arms under this measure."""
    detectable: float = float("nan")
    """The smallest difference that this many pairs would have shown, with a chance of 80 %."""

    def decided(self, level: float = LEVEL) -> bool:
        """Whether the difference is beyond noise: corrected, and with nothing wrong about its interval."""
        return self.difference is not None and self.difference.flag is None and self.adjusted < 1 - level


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that `task=compare` shows."""

    split: str
    benchmarks: tuple[str, ...]
    problems: int
    match: str
    iterations: Mapping[str, int]
    """By run folder: the evaluation that was looked at."""
    baseline: str
    arms: Sequence[Arm]
    rows: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)
    """What is unequal between the runs, and what was left out."""


def compare(
    runs: Sequence[Run],
    measures: Sequence[Measure],
    *,
    split: str = "test",
    match: Match = "iterations",
    baseline: str | None = None,
    level: float = LEVEL,
) -> Comparison:
    """Compare runs: arms by the settings that differ, seeds grouped, measures at matched moments.

    With several (base, seed) pairs an arm's interval is Student's t over its runs, and a difference is paired by base
    and seed. With a single pair the intervals are over problems: they speak of the policies, not of other seeds.

    Raises:
        UserError: when there is nothing to compare: no run with an evaluation, the same seed twice, different
            problems under one name, an unknown baseline.
    """
    notes: list[str] = []
    kept = with_evaluations(runs, split, notes)
    at = moments(kept, split, match)
    if untrained := [str(run.folder) for run in kept if run.trains and at[run] == 0]:
        listed = ", ".join(untrained)
        notes.append(f"at its base, since no later evaluation is within the {match} that all runs have spent: {listed}")
    found = checked(kept, split, at, measures, notes)
    arms = arms_of(found.runs)
    chosen = _baseline(arms, baseline, split)
    tables = {run: found.evaluated(run, at[run]) for run in found.runs}
    bases = {run: found.evaluated(run, 0) for run in found.runs if at[run] > 0 and 0 in run.evaluations(split)}
    rows = []
    for measure in measures:
        rows += _rows(measure, arms, chosen, tables, bases, at, level)
    first = tables[found.runs[0]]
    return Comparison(
        split=split,
        benchmarks=found.benchmarks,
        problems=sum(len(part.problems) for part in first.values()),
        match=match,
        iterations={str(run.folder): at[run] for run in found.runs},
        baseline=chosen,
        arms=arms,
        rows=rows,
        notes=[*found.notes, *_unequal_seeds(arms)],
    )


def _baseline(arms: Sequence[Arm], asked: str | None, split: str) -> str:
    """The arm that all others are compared with: the one asked for, else GRPO's, else the first; the base of a single.

    Raises:
        UserError: when no arm has that label.
    """
    labels = [arm.label for arm in arms]
    if asked is None:
        policy = policy_of(next((label for label in labels if label.split()[0] == "grpo"), labels[0]))
        alike = [arm for arm in arms if policy_of(arm.label) == policy]
        usual = min(alike, key=lambda arm: abs(temperature_of(arm) - USUAL)).label
        return usual if len(labels) > 1 or not any(0 in run.evaluations(split) for run in arms[0].runs) else BASE
    if asked not in (*labels, BASE):
        raise UserError(f"task.baseline={asked} is none of the arms; choose from {', '.join([*labels, BASE])}")
    return asked


Tables = Mapping[Run, Mapping[str, Evaluated]]


def _rows(
    measure: Measure,
    arms: Sequence[Arm],
    baseline: str,
    tables: Tables,
    bases: Tables,
    at: Mapping[Run, int],
    level: float,
) -> list[Row]:
    if measure.metric is not None:
        by_arm = {arm.label: {run: measure.logged(run, at[run]) for run in arm.runs} for arm in arms}
        numbers = {label: {r: v for r, v in values.items() if v is not None} for label, values in by_arm.items()}
        theirs = numbers.get(baseline, {})  # the base has logged nothing of training
        rows = [_row(measure, label, values, theirs, None, level) for label, values in numbers.items() if values]
        return _with_holm(rows, arms, level)
    means = {arm.label: {run: mean_over_benchmarks(measure.values(tables[run])) for run in arm.runs} for arm in arms}
    own: dict[str, Tables] = {arm.label: {run: tables[run] for run in arm.runs} for arm in arms}
    if bases:
        own = {BASE: _once_each(bases), **own}
        means = {BASE: {run: mean_over_benchmarks(measure.values(bases[run])) for run in own[BASE]}, **means}
    rows = [
        _row(measure, label, means[label], means.get(baseline, {}), (own[label], own.get(baseline, {})), level)
        for label in means
    ]
    return _with_holm(rows, arms, level)


def _once_each(bases: Tables) -> Tables:
    """The base of each (base, seed) pair, whichever arm evaluated it first."""
    kept: dict[tuple[str, int], Run] = {}
    for run in bases:
        kept.setdefault(run.pair, run)
    return {run: bases[run] for run in kept.values()}


def _row(
    measure: Measure,
    label: str,
    values: Mapping[Run, float],
    against: Mapping[Run, float],
    problems: tuple[Tables, Tables] | None,
    level: float,
) -> Row:
    """`problems` has the evaluations of the arm and of the baseline, for the intervals of single runs."""
    mine, theirs = _by_pair(values, against), _by_pair(against, values)
    row = Row(
        measure=measure.name,
        arm=label,
        values={str(run.folder): value for run, value in values.items()},
        mean=_mean(measure, values, problems, level),
    )
    common = mine.keys() & theirs.keys()
    if values is against or not common:
        return row
    if len(common) == 1 and problems is not None:
        difference = _over_problems(measure, problems, next(iter(common)), level)
    else:
        floor = 0.0 if problems is None else math.hypot(*(_sampling_error(measure, arm) for arm in problems))
        difference = paired_interval(theirs, mine, floor=floor, level=level)
    return replace(row, difference=difference, improvement=probability_of_improvement(theirs, mine))


def _by_pair(values: Mapping[Run, float], others: Mapping[Run, float]) -> dict[tuple[str, int], float]:
    """By (base, seed). A policy that was evaluated and not trained here stands beside every seed from it."""
    pairs = {run.pair: value for run, value in values.items() if not run.is_untrained}
    for run, value in values.items():
        if run.pair not in pairs:
            seeds = {other.pair for other in others if other.base == run.base} or {run.pair}
            pairs |= dict.fromkeys(seeds, value)
    return pairs


def _mean(
    measure: Measure, values: Mapping[Run, float], problems: tuple[Tables, Tables] | None, level: float
) -> Interval:
    if len(values) == 1 and problems is not None:
        (run,) = values
        parts = list(measure.values(problems[0][run]).values())
        return mean_interval(parts, weights=[1 / len(parts)] * len(parts), bounds=measure.bounds, level=level)
    floor = 0.0 if problems is None else _sampling_error(measure, problems[0])
    return runs_interval(list(values.values()), floor=floor, bounds=measure.bounds, level=level)


def _sampling_error(measure: Measure, arm: Tables) -> float:
    """Root mean square, over the runs of an arm, of the error that drawing samples alone gives a run's value."""
    squares = [measure.sampling_variance(evaluated) for evaluated in arm.values()]
    return (sum(squares) / len(squares)) ** 0.5 if squares else 0.0


def _over_problems(measure: Measure, problems: tuple[Tables, Tables], pair: tuple[str, int], level: float) -> Interval:
    mine, theirs = (_of_pair(arm, pair) for arm in problems)
    second, first = measure.values(mine), measure.values(theirs)
    names = sorted(second)
    return difference_interval(
        [first[name] for name in names],
        [second[name] for name in names],
        weights=[1 / len(names)] * len(names),
        bounds=(-1.0, 1.0) if measure.is_share else measure.bounds,
        level=level,
    )


def _of_pair(arm: Tables, pair: tuple[str, int]) -> Mapping[str, Evaluated]:
    """The evaluation of the run of a pair, or else of the base itself."""
    return next((arm[run] for run in arm if run.pair == pair), None) or next(
        arm[run] for run in arm if run.base == pair[0]
    )


def _with_holm(rows: Sequence[Row], arms: Sequence[Arm], level: float) -> list[Row]:
    """Adjusted over the arms that are compared with the baseline under one measure, what is detectable too.

    Each temperature of a grid is a family of its own: a finer grid makes no policy less sure.
    """
    temperatures = {arm.label: temperature_of(arm) for arm in arms}
    families = [temperatures.get(row.arm, USUAL) for row in rows]
    found: dict[int, Row] = {}
    for family in set(families):
        members = [i for i, other in enumerate(families) if other == family]
        p_values = [math.nan if (own := rows[i].difference) is None else own.p for i in members]
        adjusted = holm(p_values)
        corrected = 1 - (1 - level) / max(1, sum(p == p for p in adjusted))
        for i, p in zip(members, adjusted, strict=True):
            found[i] = replace(rows[i], adjusted=p, detectable=_detectable(rows[i].difference, corrected))
    return [found[i] for i in range(len(rows))]


def _detectable(difference: Interval | None, level: float) -> float:
    if difference is None or difference.unit != "pairs":
        return float("nan")
    return detectable(difference.error, difference.units, level=level)


def _unequal_seeds(arms: Sequence[Arm]) -> list[str]:
    """A policy that no run here has trained stands beside every seed, so it has none of its own."""
    known = [arm for arm in arms if not any(run.is_untrained for run in arm.runs)]
    pairs = {arm.label: {run.pair for run in arm.runs} for arm in known}
    if len({frozenset(own) for own in pairs.values()}) < 2:
        return []
    if not set.intersection(*pairs.values()) and len(pairs) == 2:
        return [f"{' and '.join(pairs)} have no base and seed in common, so no difference between them can be given"]
    counts = ", ".join(f"{label} {len(own)}" for label, own in pairs.items())
    return [f"the arms have different (base, seed) pairs ({counts}); differences use those that both arms have"]

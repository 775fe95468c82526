"""Is a gain in pass@k more than a hotter sampler? Policies that were evaluated at a grid of sampling temperatures."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rsgrpo.comparison.arms import USUAL, policy_of, temperature_of
from rsgrpo.comparison.compare import Comparison
from rsgrpo.comparison.compared import trained
from rsgrpo.comparison.measures import Measure, Values, mean_over_benchmarks, measure
from rsgrpo.comparison.panels import Line, Panel, Trace
from rsgrpo.comparison.runs import Evaluated, Run
from rsgrpo.intervals.base import LEVEL, Interval
from rsgrpo.intervals.problems import difference_interval, mean_interval
from rsgrpo.intervals.seeds import paired_interval, runs_interval

Table = Mapping[str, Evaluated]
Pair = tuple[str, int | None]
"""(base, seed); no seed for a policy that no run here has trained."""

Axis = Callable[[float, Table], float]
"""Where an evaluation at a temperature stands."""

Grid = Mapping[Pair, Mapping[float, tuple[Run, Table]]]
"""The evaluations of a policy, by pair and temperature."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """One policy at the usual temperature against the baseline's policy at any."""

    measure: str
    policy: str
    baseline: str
    pairs: int
    temperature: float
    """Of the policy."""
    entropy: float
    """Of its sampler, in nats per token."""
    gain: Interval
    """Over the baseline at the same temperature."""
    best_temperature: float
    """Of the baseline: where its mean is highest in the grid. Chosen after the fact, in the baseline's favour."""
    over_best: Interval
    matched_temperature: float | None
    """Where the baseline's sampler has the policy's entropy; None where the grid does not reach it."""
    over_matched: Interval | None
    """Over the baseline at the policy's entropy, between the two temperatures around it in proportion."""


def controls(comparison: Comparison, level: float = LEVEL) -> list[Control]:
    """Each policy that was evaluated at the usual temperature, against the baseline's, which needs two or more."""
    grids, chosen = _grids(comparison), policy_of(comparison.baseline)
    theirs = grids.get(chosen)
    if theirs is None or len(_temperatures(theirs)) < 2:
        return []
    asked = _largest(comparison)
    at = _nearest(_temperatures(theirs))
    found = []
    for policy, mine in grids.items():
        if policy != chosen and at in _temperatures(mine) and (pairs := _paired(mine, theirs, at)):
            found.append(_control(asked, (policy, chosen), pairs, at, level))
    return found


def temperature_panels(comparison: Comparison, level: float = LEVEL) -> list[Panel]:
    """The largest pass@k of each policy against temperature, entropy of the sampler, and pass@1; none without a grid.

    A line goes through the temperatures in order. Where one policy's line lies above another's, it finds more with a
    sampler of the same entropy, or at the same pass@1.
    """
    grids = {policy: grid for policy, grid in _grids(comparison).items() if len(_temperatures(grid)) > 1}
    if not grids:
        return []
    asked = _largest(comparison)
    axes: dict[str, Axis] = {
        "temperature": lambda t, table: t,
        "entropy of the sampler (nats per token)": lambda t, table: _entropy(table),
        "pass@1": lambda t, table: mean_over_benchmarks(measure("pass@1").values(table)),
    }
    sampled = all(p.samples for g in grids.values() for ts in g.values() for _, t in ts.values() for p in t.values())
    panels = []
    for label, x in axes.items():
        if (label != "pass@1" or asked.name != "pass@1") and (sampled or not label.startswith("entropy")):
            lines = [_line(policy, grid, asked, x, level) for policy, grid in grids.items()]
            title = f"{asked.name} by {label.partition(' (')[0]}"
            panels.append(Panel(title=title, x=label, y=asked.name, lines=lines))
    return panels


def at_usual_temperature(comparison: Comparison) -> Comparison:
    """Its arms at one temperature alone, named without it, where policies were evaluated at several.

    It is the baseline's that is nearest to the usual one. Policies that were not evaluated at it have no arm.
    """
    grids = _grids(comparison)
    if not any(len(_temperatures(grid)) > 1 for grid in grids.values()):
        return comparison
    policies = {arm.label: policy_of(arm.label) for arm in comparison.arms}
    chosen = policy_of(comparison.baseline)
    theirs = [temperature_of(arm) for arm in comparison.arms if policies[arm.label] == chosen]
    at = _nearest(theirs or [temperature_of(arm) for arm in comparison.arms])
    arms = [replace(arm, label=policies[arm.label]) for arm in comparison.arms if temperature_of(arm) == at]
    return replace(comparison, arms=arms, baseline=chosen)


def _nearest(temperatures: Sequence[float]) -> float:
    """To the usual one."""
    return min(temperatures, key=lambda t: abs(t - USUAL))


def _grids(comparison: Comparison) -> dict[str, Grid]:
    """By policy, in the order of the arms."""
    found: dict[str, dict[Pair, dict[float, tuple[Run, Table]]]] = {}
    for arm in comparison.arms:
        if any(run.trains for run in arm.runs):
            continue
        grid = found.setdefault(policy_of(arm.label), {})
        for run, table in trained(comparison, arm).items():
            pair = run.base, None if run.trained_by is None else run.seed
            grid.setdefault(pair, {})[temperature_of(arm)] = run, table
    return dict(found)


def _temperatures(grid: Grid) -> list[float]:
    """Those that every pair was evaluated at."""
    return sorted(set.intersection(*(set(at) for at in grid.values())))


def _largest(comparison: Comparison) -> Measure:
    """The largest pass@k that is compared."""
    ks = [int(match[1]) for row in comparison.rows if (match := re.fullmatch(r"pass@(\d+)", row.measure))]
    return measure(f"pass@{max(ks, default=1)}")


def _entropy(table: Table) -> float:
    """The mean over benchmarks."""
    return float(np.mean([part.entropy for part in table.values()]))


@dataclass(frozen=True)
class _Beside:
    """One pair: a policy at the usual temperature, and the baseline at all of its own."""

    policy: Table
    baseline: Mapping[float, Table]


def _paired(mine: Grid, theirs: Grid, at: float) -> dict[tuple[str, int], _Beside]:
    """A policy that no run has trained stands beside every seed that began with it."""
    found = {}
    for (base, seed), grid in mine.items():
        for (other, number), baseline in theirs.items():
            if base == other and (seed == number or None in (seed, number)):
                tables = {t: baseline[t][1] for t in _temperatures(theirs)}
                pair = base, int(seed if seed is not None else number or 0)
                found[pair] = _Beside(grid[at][1], tables)
    return found


def _control(
    asked: Measure, names: tuple[str, str], pairs: Mapping[tuple[str, int], _Beside], at: float, level: float
) -> Control:
    mine = {pair: asked.values(beside.policy) for pair, beside in pairs.items()}
    theirs = {pair: {t: asked.values(table) for t, table in b.baseline.items()} for pair, b in pairs.items()}
    grid = sorted(next(iter(theirs.values())))
    best = max(grid, key=lambda t: np.mean([mean_over_benchmarks(found[t]) for found in theirs.values()]))
    variances = [[asked.sampling_variance(t) for t in (b.policy, b.baseline[at])] for b in pairs.values()]
    floor = float(np.mean([sum(both) for both in variances])) ** 0.5

    def over(baseline: Mapping[tuple[str, int], Mapping[str, Values]]) -> Interval:
        if len(pairs) > 1:
            first, second = ({p: mean_over_benchmarks(v) for p, v in arm.items()} for arm in (baseline, mine))
            return paired_interval(first, second, floor=floor, level=level)
        (pair,) = pairs
        ordered = sorted(mine[pair])
        first, second = ([arm[pair][name] for name in ordered] for arm in (baseline, mine))
        return difference_interval(first, second, weights=[1 / len(ordered)] * len(ordered), level=level)

    matched = _matched(pairs, theirs)
    return Control(
        measure=asked.name,
        policy=names[0],
        baseline=names[1],
        pairs=len(pairs),
        temperature=at,
        entropy=float(np.mean([_entropy(b.policy) for b in pairs.values()])) if _all_sampled(pairs) else float("nan"),
        gain=over({pair: found[at] for pair, found in theirs.items()}),
        best_temperature=best,
        over_best=over({pair: found[best] for pair, found in theirs.items()}),
        matched_temperature=None if matched is None else float(np.mean([t for t, _ in matched.values()])),
        over_matched=None if matched is None else over({pair: values for pair, (_, values) in matched.items()}),
    )


def _all_sampled(pairs: Mapping[tuple[str, int], _Beside]) -> bool:
    tables = [table for beside in pairs.values() for table in (beside.policy, *beside.baseline.values())]
    return all(part.samples is not None for table in tables for part in table.values())


def _matched(
    pairs: Mapping[tuple[str, int], _Beside], values: Mapping[tuple[str, int], Mapping[float, Mapping[str, Values]]]
) -> dict[tuple[str, int], tuple[float, Mapping[str, Values]]] | None:
    """By pair, the baseline's temperature and values at the policy's entropy; None where a grid does not reach it."""
    if not _all_sampled(pairs):
        return None
    found = {}
    for pair, beside in pairs.items():
        entropy = _entropy(beside.policy)
        grid = sorted((_entropy(table), t) for t, table in beside.baseline.items())
        above = next((i for i, (at, _) in enumerate(grid) if at >= entropy), None)
        if above is None or (above == 0 and grid[0][0] > entropy):
            return None
        (low, cold), (high, hot) = grid[max(0, above - 1)], grid[above]
        share = (entropy - low) / (high - low) if high > low else 0.0
        mixed = {n: (1 - share) * values[pair][cold][n] + share * values[pair][hot][n] for n in values[pair][cold]}
        found[pair] = (1 - share) * cold + share * hot, mixed
    return found


def _line(policy: str, grid: Grid, asked: Measure, x: Axis, level: float) -> Line:
    temperatures = _temperatures(grid)
    xs = [[x(t, at[t][1]) for t in temperatures] for at in grid.values()]
    ys = [[mean_over_benchmarks(asked.values(at[t][1])) for t in temperatures] for at in grid.values()]
    bands = [_band(asked, [at[t][1] for at in grid.values()], level) for t in temperatures]
    folders = [str(at[temperatures[0]][0].folder) for at in grid.values()]
    traces = [Trace(folder=f, x=a, y=b) for f, a, b in zip(folders, xs, ys, strict=True)] if len(grid) > 1 else []
    return Line(
        arm=policy,
        x=np.mean(xs, axis=0).tolist(),
        y=np.mean(ys, axis=0).tolist(),
        low=[band.low for band in bands],
        high=[band.high for band in bands],
        over=f"{bands[0].units:,} {bands[0].unit}",
        traces=traces,
    )


def _band(asked: Measure, tables: Sequence[Table], level: float) -> Interval:
    if len(tables) > 1:
        return runs_interval([mean_over_benchmarks(asked.values(t)) for t in tables], bounds=(0, 1), level=level)
    parts = list(asked.values(tables[0]).values())
    return mean_interval(parts, weights=[1 / len(parts)] * len(parts), level=level)

"""pass@k against k, as in the paper's Fig. 4."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rsgrpo.comparison.compare import BASE, Comparison
from rsgrpo.comparison.compared import Tables, by_arm, fewest
from rsgrpo.comparison.panels import Line, Panel, Trace
from rsgrpo.comparison.runs import Evaluated
from rsgrpo.intervals.base import LEVEL
from rsgrpo.intervals.problems import mean_interval
from rsgrpo.intervals.seeds import runs_interval
from rsgrpo.measures.pass_at_k import ladder, rungs

Rungs = Mapping[int, Sequence[np.ndarray]]
"""By k, pass@k of the problems of each benchmark."""


def pass_at_k_curves(comparison: Comparison, level: float = LEVEL) -> list[Panel]:
    """A panel of each benchmark, and one of their mean where there are several; the base and every arm in each.

    k = 1, 2, 4 ... up to the samples that all runs have of every problem. Bands: Student's t over the runs of an arm
    where it has several with different policies, otherwise the bootstrap-t over problems.
    """
    tables = by_arm(comparison)
    groups = [[name] for name in comparison.benchmarks]
    if len(groups) > 1:
        groups = [list(comparison.benchmarks), *groups]
    return [_panel(comparison, tables, group, level) for group in groups]


def _panel(comparison: Comparison, tables: Mapping[str, Tables], group: Sequence[str], level: float) -> Panel:
    ks = rungs(fewest(tables, group))
    title = f"mean of {len(group)} benchmarks" if len(group) > 1 else group[0] or f"{comparison.split} split"
    lines = [_line(arm, table, group, ks, level) for arm, table in tables.items()]
    return Panel(title=title, x="k", y="pass@k", lines=lines, log2=True)


def _line(arm: str, table: Tables, group: Sequence[str], ks: Sequence[int], level: float) -> Line:
    by_run = {run: _rungs(evaluated, group, ks) for run, evaluated in table.items()}
    curves = {run: [_mean(found[k]) for k in ks] for run, found in by_run.items()}
    mean = np.mean(list(curves.values()), axis=0).tolist()
    traces = [Trace(folder=str(run.folder), x=ks, y=curve) for run, curve in curves.items()] if len(table) > 1 else []
    if _policies(arm, table) > 1:
        at_k = zip(*curves.values(), strict=True)
        bands = [runs_interval(values, bounds=(0, 1), level=level) for values in at_k]
        over = f"{len(table)} runs"
    else:
        found = by_run[next(iter(by_run))]
        bands = [mean_interval(found[k], weights=[1 / len(group)] * len(group), level=level) for k in ks]
        over = f"{bands[0].units:,} problems"
        mean, traces = [_mean(found[k]) for k in ks], []
    low, high = [band.low for band in bands], [band.high for band in bands]
    return Line(arm=arm, x=ks, y=mean, low=low, high=high, over=over, traces=traces)


def _policies(arm: str, table: Tables) -> int:
    """How many different policies were evaluated: a base that all seeds start from is one."""
    return len({run.base for run in table}) if arm == BASE else len(table)


def _rungs(evaluated: Mapping[str, Evaluated], group: Sequence[str], ks: Sequence[int]) -> Rungs:
    parts = [ladder(evaluated[name].n, evaluated[name].correct, ks) for name in group]
    return {k: [part[k] for part in parts] for k in ks}


def _mean(benchmarks: Sequence[np.ndarray]) -> float:
    return math.fsum(float(values.mean()) for values in benchmarks) / len(benchmarks)

"""pass@k and the share of distinct answers against k, as in the paper's Fig. 4 and Fig. 7 (left)."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rsgrpo.comparison.compare import BASE, Comparison
from rsgrpo.comparison.compared import Tables, by_arm, fewest
from rsgrpo.comparison.panels import Line, Panel, Trace
from rsgrpo.comparison.runs import Evaluated
from rsgrpo.intervals.base import LEVEL
from rsgrpo.intervals.problems import mean_interval
from rsgrpo.intervals.seeds import runs_interval
from rsgrpo.measures.answers import unique_ladder
from rsgrpo.measures.pass_at_k import ladder, rungs

Ladder = Callable[[Evaluated, Sequence[int]], Mapping[int, np.ndarray]]
"""Of an evaluation, for each k, the value of each problem."""

Rungs = Mapping[int, Sequence[np.ndarray]]
"""By k, the values of the problems of each benchmark."""


def pass_at_k_curves(comparison: Comparison, level: float = LEVEL) -> list[Panel]:
    """A panel of each benchmark, and one of their mean where there are several; the base and every arm in each.

    k = 1, 2, 4 ... up to the samples that all runs have of every problem. Bands: Student's t over the runs of an arm
    where it has several with different policies, otherwise the bootstrap-t over problems.
    """
    return _panels(comparison, by_arm(comparison), "pass@k", _passed, level)


def unique_answer_curves(comparison: Comparison, level: float = LEVEL) -> list[Panel]:
    """The same of unique@k, the share of distinct answers among k samples, for the arms whose answers are known.

    Those are evaluations by `task=evaluate`, under a reward that says which answer a completion gives.
    """
    known = {arm: table for arm, table in by_arm(comparison).items() if all(map(_has_answers, table.values()))}
    return _panels(comparison, known, "unique@k", _distinct, level) if known else []


def _panels(comparison: Comparison, tables: Mapping[str, Tables], y: str, values: Ladder, level: float) -> list[Panel]:
    groups = [[name] for name in comparison.benchmarks]
    if len(groups) > 1:
        groups = [list(comparison.benchmarks), *groups]
    panels = []
    for group in groups:
        ks = rungs(fewest(tables, group))
        title = f"mean of {len(group)} benchmarks" if len(group) > 1 else group[0]
        lines = [_line(arm, table, group, ks, values, level) for arm, table in tables.items()]
        panels.append(Panel(title=title, x="k", y=y, lines=lines, log2=True))
    return panels


def _passed(evaluated: Evaluated, ks: Sequence[int]) -> Mapping[int, np.ndarray]:
    return ladder(evaluated.n, evaluated.correct, ks)


def _distinct(evaluated: Evaluated, ks: Sequence[int]) -> Mapping[int, np.ndarray]:
    of_problems = [unique_ladder(one.votes, one.n, ks) for one in evaluated.answered]
    return {k: np.array([found[k] for found in of_problems]) for k in ks}


def _has_answers(table: Mapping[str, Evaluated]) -> bool:
    return all(part.samples is not None and all(one.has_answers for one in part.answered) for part in table.values())


def _line(arm: str, table: Tables, group: Sequence[str], ks: Sequence[int], values: Ladder, level: float) -> Line:
    by_run = {run: _rungs(evaluated, group, ks, values) for run, evaluated in table.items()}
    curves = {run: [_mean(found[k]) for k in ks] for run, found in by_run.items()}
    mean = np.mean(list(curves.values()), axis=0).tolist()
    traces = [Trace(folder=str(run.folder), x=ks, y=curve) for run, curve in curves.items()] if len(table) > 1 else []
    if _policies(arm, table) > 1:
        at_k = zip(*curves.values(), strict=True)
        bands = [runs_interval(of_runs, bounds=(0, 1), level=level) for of_runs in at_k]
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


def _rungs(evaluated: Mapping[str, Evaluated], group: Sequence[str], ks: Sequence[int], values: Ladder) -> Rungs:
    parts = [values(evaluated[name], ks) for name in group]
    return {k: [part[k] for part in parts] for k in ks}


def _mean(benchmarks: Sequence[np.ndarray]) -> float:
    return math.fsum(float(values.mean()) for values in benchmarks) / len(benchmarks)

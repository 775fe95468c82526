"""What runs have logged over training, by arm: the paper's Fig. 5, 6 and Appendix D, and learning against its cost."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rsgrpo.comparison.arms import Arm
from rsgrpo.comparison.compare import Comparison
from rsgrpo.comparison.moments import Match, spent
from rsgrpo.comparison.panels import Line, Panel, Trace
from rsgrpo.comparison.runs import Run
from rsgrpo.errors import UserError

MOST_POINTS = 120
"""Of a line; more iterations are averaged in equal bins."""

FEWEST_POINTS = 3
"""Evaluations below which a split has no curve."""

LOGGED = (
    ("train/cumulative_solve_rate", "cumulative solve rate"),
    ("train/reward_mean", "training reward"),
    ("train/entropy", "entropy (nats)"),
)
"""Metrics that every iteration has, and what their panels are called."""

COSTS: Mapping[Match, str] = {"iterations": "iterations", "tokens": "sampled tokens", "seconds": "seconds of training"}

Series = Mapping[int, float]
"""By iteration."""

PASS = re.compile(r"eval/(?P<split>test|validation)/(?:(?P<benchmark>[^/]+)/)?pass@(?P<k>\d+)")


def over_training(comparison: Comparison) -> list[Panel]:
    """A panel of each logged metric, and of pass@1 and pass@k of the splits that were evaluated during training.

    A line is the mean over the runs of an arm, at the iterations that all of them have; the runs are behind it.
    """
    panels = [_panel(comparison, title, lambda run, name=name: _logged(run, name)) for name, title in LOGGED]
    for split, k in evaluated_curves(comparison):
        title = f"{split} pass@{k}"
        panels.append(_panel(comparison, title, lambda run, split=split, k=k: pass_series(run, split, k)))
    return [panel for panel in panels if panel.lines]


def against_cost(comparison: Comparison, notes: list[str]) -> list[Panel]:
    """pass@1 and the largest pass@k of a split against iterations, sampled tokens and seconds.

    Costs are those of training; evaluations are not counted. At each evaluation that all runs of an arm have, its
    point is the mean of their costs and of their values. `notes` gets what could not be drawn, and why.
    """
    curves = evaluated_curves(comparison)
    split = curves[0][0] if curves else None
    panels = []
    for match, label in COSTS.items():
        try:
            used = {run: spent(run, match) for arm in comparison.arms for run in arm.runs if run.trains}
        except UserError as error:
            notes.append(str(error))
            continue
        for at, k in curves:
            if at == split:
                lines = [line for arm in comparison.arms if (line := _costly(arm, at, k, used))]
                panels.append(Panel(title=f"{at} pass@{k} by {match}", x=label, y=f"pass@{k}", lines=lines))
    return sorted(panels, key=lambda panel: int(panel.y.removeprefix("pass@")))


def evaluated_curves(comparison: Comparison) -> list[tuple[str, int]]:
    """(split, k) of the curves over training that some arm has: pass@1 and the largest pass@k of each split.

    The test split comes first. A split that was evaluated at the ends alone has none.
    """
    found: list[tuple[str, int]] = []
    runs = [run for arm in comparison.arms for run in arm.runs if run.trains]
    for split in ("test", "validation"):
        ks = sorted({int(m["k"]) for run in runs for m in _passes(run) if m["split"] == split})
        drawn = [k for k in ks if any(len(_common(arm, split, k)) >= FEWEST_POINTS for arm in comparison.arms)]
        found += [(split, k) for k in sorted({*drawn[:1], *drawn[-1:]})]
    return found


def _common(arm: Arm, split: str, k: int) -> set[int]:
    """The iterations at which all runs of an arm have logged pass@k."""
    series = [set(found) for run in arm.runs if run.trains and (found := pass_series(run, split, k))]
    return set.intersection(*series) if series else set()


def pass_series(run: Run, split: str, k: int) -> Series:
    """pass@k by iteration, as the run has logged it: the mean of its benchmarks' where it has several.

    So benchmarks weigh the same, as in the paper, and those with fewer than k samples are left out (Appendix E).
    """
    series: dict[int, float] = {}
    of_benchmarks = [m.group() for m in _passes(run) if m["split"] == split and int(m["k"]) == k and m["benchmark"]]
    for iteration, record in sorted(run.metrics.items()):
        values = [record[name] for name in of_benchmarks if record.get(name) is not None]
        whole = record.get(f"eval/{split}/pass@{k}")
        if values or whole is not None:
            series[iteration] = float(np.mean(values)) if values else float(whole or 0.0)
    return series


def _passes(run: Run) -> list[re.Match[str]]:
    return [match for name in sorted(run.logged) if (match := PASS.fullmatch(name))]


def _logged(run: Run, name: str) -> Series:
    return {i: float(record[name]) for i, record in sorted(run.metrics.items()) if record.get(name) is not None}


def _panel(comparison: Comparison, title: str, series: Callable[[Run], Series]) -> Panel:
    lines = []
    for arm in comparison.arms:
        of_runs = {run: found for run in arm.runs if run.trains and (found := series(run))}
        if line := _mean_line(arm.label, of_runs):
            lines.append(line)
    return Panel(title=title, x="iteration", y=title, lines=lines)


def _mean_line(arm: str, of_runs: Mapping[Run, Series]) -> Line | None:
    """None where no iteration is common to all runs."""
    common = sorted(set.intersection(*map(set, of_runs.values()))) if of_runs else []
    if not common:
        return None
    x = _binned([float(i) for i in common])
    curves = {run: _binned([found[i] for i in common]) for run, found in of_runs.items()}
    mean = np.mean(list(curves.values()), axis=0).tolist()
    return Line(arm=arm, x=x, y=mean, traces=_traces({run: (x, y) for run, y in curves.items()}))


def _costly(arm: Arm, split: str, k: int, used: Mapping[Run, Mapping[int, float]]) -> Line | None:
    of_runs = {run: found for run in arm.runs if run in used and (found := pass_series(run, split, k))}
    common = sorted(set.intersection(*map(set, of_runs.values()))) if of_runs else []
    costs = {run: _at(used[run], common) for run in of_runs}
    if not common:
        return None
    curves = {run: (costs[run], [found[i] for i in common]) for run, found in of_runs.items()}
    x, y = np.mean(list(curves.values()), axis=0).tolist()
    return Line(arm=arm.label, x=x, y=y, traces=_traces(curves))


def _at(used: Mapping[int, float], iterations: Sequence[int]) -> list[float]:
    """The cost by each iteration, or by the last before it that is known."""
    known = sorted(used)
    places = np.searchsorted(known, iterations, side="right") - 1
    return [used[known[place]] for place in places]


def _traces(curves: Mapping[Run, tuple[Sequence[float], Sequence[float]]]) -> list[Trace]:
    return [Trace(folder=str(run.folder), x=x, y=y) for run, (x, y) in curves.items()] if len(curves) > 1 else []


def _binned(values: Sequence[float]) -> list[float]:
    """Means of equal bins, as many as `MOST_POINTS` at most."""
    if len(values) <= MOST_POINTS:
        return list(values)
    return [float(part.mean()) for part in np.array_split(np.asarray(values), MOST_POINTS)]

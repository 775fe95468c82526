"""A comparison as plain values, for `compare.json`: not a number is null."""

import math
from typing import Any

from rsgrpo.comparison.compare import Comparison, Row
from rsgrpo.comparison.panels import plain
from rsgrpo.comparison.temperatures import controls
from rsgrpo.intervals.base import Interval


def record(comparison: Comparison, level: float) -> dict[str, Any]:
    """Everything of a comparison, with the settings and folders of its arms."""
    return {
        "split": comparison.split,
        "benchmarks": list(comparison.benchmarks),
        "problems": comparison.problems,
        "match": comparison.match,
        "level": level,
        "baseline": comparison.baseline,
        "arms": [
            {
                "arm": arm.label,
                "settings": dict(arm.settings),
                "runs": [
                    {
                        "folder": str(run.folder),
                        "base": run.base,
                        "seed": run.seed,
                        "iteration": comparison.iterations[str(run.folder)] if run.trains else None,
                    }
                    for run in arm.runs
                ],
            }
            for arm in comparison.arms
        ],
        "rows": [_row(row, level) for row in comparison.rows],
        "controls": plain(controls(comparison, level)),
        "notes": list(comparison.notes),
    }


def _row(row: Row, level: float) -> dict[str, Any]:
    return {
        "measure": row.measure,
        "arm": row.arm,
        "values": {folder: _number(value) for folder, value in row.values.items()},
        "mean": _interval(row.mean),
        "difference": None if row.difference is None else _interval(row.difference),
        "improvement": _number(row.improvement),
        "p_holm": _number(row.adjusted),
        "detectable": _number(row.detectable),
        "decided": row.decided(level),
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return {
        "estimate": _number(interval.estimate),
        "low": _number(interval.low),
        "high": _number(interval.high),
        "error": _number(interval.error),
        "p": _number(interval.p),
        "units": interval.units,
        "unit": interval.unit,
        "flag": interval.flag,
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

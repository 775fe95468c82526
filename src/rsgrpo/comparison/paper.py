"""The paper's Table 2, and own runs in its layout."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import PurePath

import numpy as np

from rsgrpo.comparison.compare import Comparison
from rsgrpo.comparison.compared import Tables, by_arm
from rsgrpo.measures.pass_at_k import ladder

BENCHMARKS = ("aime24", "aime25", "hmmt_feb_2024", "hmmt_feb_2025", "cmimc_2025", "math500")
"""In the order of the table."""

MEASURES = ("pass@1", "pass@32")

FILE = "paper_numbers.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRow:
    """A line of the table, in per cent."""

    own: bool
    """Whether it is of own runs; the others are the paper's."""
    model: str
    train_data: str
    method: str
    values: Mapping[str, Sequence[float | None]]
    """By benchmark, pass@1 and pass@32; None where there are too few samples."""
    average: Sequence[float | None]
    """Over the six benchmarks, for pass@1 and pass@32 alike; None unless all six are there."""


@cache
def paper_rows() -> list[PaperRow]:
    """Table 2 as printed; each of its averages is over all six benchmarks."""
    text = (resources.files("rsgrpo.comparison") / FILE).read_text(encoding="utf-8")
    lines: dict[tuple[str, str, str], dict[str, Mapping[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        lines.setdefault((row["model"], row["train_data"], row["method"]), {})[row["measure"]] = row
    return [
        PaperRow(
            own=False,
            model=model,
            train_data=data,
            method=method,
            values={name: [float(of[measure][name]) for measure in MEASURES] for name in BENCHMARKS},
            average=[float(of[measure]["average"]) for measure in MEASURES],
        )
        for (model, data, method), of in lines.items()
    ]


def beside_the_paper(comparison: Comparison) -> list[PaperRow]:
    """Own arms, then the paper's rows, those of the same model first; empty unless all benchmarks are the paper's."""
    if not set(comparison.benchmarks) <= {*BENCHMARKS}:
        return []
    settings = comparison.arms[0].runs[0].experiment
    model = PurePath(str(settings.get("model.path") or "tiny")).name
    data = str(settings.get("data.train.name") or settings.get("data._target_", "")).rpartition(".")[2]
    own = [_own(arm, table, model, data, comparison.benchmarks) for arm, table in by_arm(comparison).items()]
    return [*own, *sorted(paper_rows(), key=lambda row: row.model.lower() != model.lower())]


def _own(arm: str, table: Tables, model: str, data: str, benchmarks: Sequence[str]) -> PaperRow:
    """Means over the runs of an arm."""
    values = {}
    for name in benchmarks:
        values[name] = [_mean(table, name, k) for k in (1, 32)]
    whole = [[values[name][i] for name in BENCHMARKS if name in values] for i in range(2)]
    return PaperRow(
        own=True,
        model=model,
        train_data=data,
        method=arm,
        values=values,
        average=[
            float(np.mean(of)) if len(of) == len(BENCHMARKS) and None not in of else None  # type: ignore[arg-type]
            for of in whole
        ],
    )


def _mean(table: Tables, benchmark: str, k: int) -> float | None:
    parts = [evaluated[benchmark] for evaluated in table.values()]
    if min(int(part.n.min()) for part in parts) < k:
        return None
    return 100 * float(np.mean([ladder(part.n, part.correct, [k])[k].mean() for part in parts]))

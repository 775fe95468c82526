"""What the end of a run may conclude: trained against base, and what would decide about the objective."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rsgrpo import run_folder
from rsgrpo.analysis.compare_table import number
from rsgrpo.intervals.base import LEVEL, Interval
from rsgrpo.intervals.problems import difference_interval
from rsgrpo.measures.pass_at_k import ladder

SEEDS = "seed=0,1,2"

BASES = "model.pretrain.seed"
"""Each seed begins with a base of its own where the base is one of `model.pretrain`."""

Results = Mapping[tuple[str, str], Mapping[str, Any]]
"""By benchmark and problem."""


def verdict(run: Path, ks: list[int], program: str | None) -> list[str]:
    """A sentence for the first and the last k, and the commands that would decide; none without both evaluations.

    Args:
        run: the run folder.
        ks: those of its pass@k.
        program: what a user types before the words of a command line; None leaves the commands out.

    Raises:
        UserError: when a file of the run is damaged.
    """
    results = run_folder.read(run / run_folder.TEST)
    last = max((result["iteration"] for result in results), default=0)
    base, trained = (_results(results, iteration) for iteration in (0, last))
    if not last or not base:
        return []
    common = [problem for problem in base if problem in trained]
    sentences = [
        sentence
        for k in dict.fromkeys([*ks[:1], *ks[-1:]])
        if (sentence := _sentence(k, base, trained, common)) is not None
    ]
    return [*sentences, *(_what_decides(run, program) if sentences and program is not None else ())]


def _results(results: list[dict[str, Any]], iteration: int) -> Results:
    return {
        (str(result["facts"].get("dataset", "")), str(result.get("problem_id"))): result
        for result in results
        if result["iteration"] == iteration
    }


def _sentence(k: int, base: Results, trained: Results, common: list[tuple[str, str]]) -> str | None:
    """Whether pass@k has changed beyond noise; None where no problem has k completions of both."""
    problems = [problem for problem in common if min(base[problem]["n"], trained[problem]["n"]) >= k]
    if not problems:
        return None
    change = difference_interval(_by_benchmark(k, base, problems), _by_benchmark(k, trained, problems))
    interval = "" if np.isnan(change.low) else f" [{number(change.low, '+')}, {number(change.high, '+')}]"
    changed = f"pass@{k} changed by {number(change.estimate, '+')}{interval}"
    return f"{changed} on {change.units:,} problems: {_meaning(change)}"


def _meaning(change: Interval) -> str:
    if change.flag is not None:
        return f"unreliable, {change.flag}"
    return "beyond noise" if change.excludes_zero else f"not beyond noise (interval of {LEVEL:.0%})"


def _by_benchmark(k: int, results: Results, problems: list[tuple[str, str]]) -> list[np.ndarray]:
    """pass@k of each problem, benchmark by benchmark."""
    found = []
    for benchmark in sorted({benchmark for benchmark, _ in problems}):
        of_it = [results[problem] for problem in problems if problem[0] == benchmark]
        n, correct = (np.array([result[name] for result in of_it]) for name in ("n", "correct"))
        found.append(ladder(n, correct, [k])[k])
    return found


def _what_decides(run: Path, program: str) -> Iterator[str]:
    """One policy against its base says nothing of the objective: other seeds do, beside those of another objective."""
    model = run_folder.read_config(run).get("model", {})
    varied = [SEEDS, f"{BASES}=${{seed}}"] if model.get("path") is None and "pretrain" in model else [SEEDS]
    fixed = ("ckpt", *(word.split("=")[0] for word in varied))
    words = [word for word in run_folder.read_overrides(run) if word.split("=")[0].lstrip("+") not in fixed]
    yield "This judges one policy. Its objective is judged by several seeds, beside those of another objective:"
    yield f"  {program} -m {shlex.join([*words, *varied])}"
    yield f"  {program} task=compare runs=[outputs/SWEEP,outputs/OTHER_SWEEP]"

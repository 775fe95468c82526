"""The evaluations that a comparison has looked at, as tables of counts."""

from collections.abc import Mapping, Sequence

import numpy as np

from rsgrpo.comparison.arms import Arm
from rsgrpo.comparison.compare import BASE, Comparison
from rsgrpo.comparison.runs import Evaluated, Run
from rsgrpo.measures.pass_at_k import Counts

Tables = Mapping[Run, Mapping[str, Evaluated]]
"""By run and benchmark."""


def trained(comparison: Comparison, arm: Arm) -> Tables:
    """The evaluation at which each run of an arm was compared."""
    return {run: _at(comparison, run, comparison.iterations[str(run.folder)]) for run in arm.runs}


def base_of(comparison: Comparison, run: Run) -> Mapping[str, Evaluated] | None:
    """A run's own evaluation of the policy that it started from; None where it has none."""
    if comparison.iterations[str(run.folder)] == 0 or 0 not in run.evaluations(comparison.split):
        return None
    return _at(comparison, run, 0)


def bases(comparison: Comparison) -> Tables:
    """The evaluation of each base, by whichever run of that (base, seed) pair comes first."""
    found: dict[tuple[str, int], tuple[Run, Mapping[str, Evaluated]]] = {}
    for arm in comparison.arms:
        for run in arm.runs:
            table = base_of(comparison, run)
            if table is not None:
                found.setdefault(run.pair, (run, table))
    return dict(found.values())


def by_arm(comparison: Comparison) -> dict[str, Tables]:
    """Of every arm, the base before training among them."""
    first = {BASE: bases(comparison)}
    own = {arm.label: trained(comparison, arm) for arm in comparison.arms}
    return own if not first[BASE] else {**first, **own}


def pairs(first: Tables, second: Tables) -> list[tuple[Mapping[str, Evaluated], Mapping[str, Evaluated]]]:
    """The evaluations of two arms, paired by base and seed; a policy that was not trained stands beside every seed."""
    return [(a, b) for run, a in first.items() for other, b in second.items() if run.is_beside(other)]


def counts(table: Mapping[str, Evaluated], benchmarks: Sequence[str]) -> tuple[list[tuple[str, str]], Counts, Counts]:
    """((benchmark, problem id), n, correct) of all problems of some benchmarks, in an order that all runs share."""
    names: list[tuple[str, str]] = []
    n, correct = [], []
    for benchmark in benchmarks:
        part = table[benchmark]
        order = sorted(range(len(part.problems)), key=part.problems.__getitem__)
        names += [(benchmark, part.problems[i]) for i in order]
        n.append(part.n[order])
        correct.append(part.correct[order])
    return names, np.concatenate(n), np.concatenate(correct)


def fewest(tables: Mapping[str, Tables], benchmarks: Sequence[str]) -> int:
    """The samples that every problem of some benchmarks has in every evaluation."""
    return min(int(table[name].n.min()) for arm in tables.values() for table in arm.values() for name in benchmarks)


def _at(comparison: Comparison, run: Run, iteration: int) -> Mapping[str, Evaluated]:
    found = run.evaluations(comparison.split)[iteration]
    return {name: found[name] for name in comparison.benchmarks}

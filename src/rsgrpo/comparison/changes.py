"""What training has changed, problem by problem: accuracies that moved (Fig. 7), support that was gained or lost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsgrpo.comparison.compare import BASE, Comparison
from rsgrpo.comparison.compared import Tables, base_of, by_arm, counts, fewest, pairs, trained
from rsgrpo.comparison.runs import Evaluated
from rsgrpo.intervals.base import LEVEL, Interval
from rsgrpo.intervals.seeds import runs_interval
from rsgrpo.measures.support import Support, placebo, support
from rsgrpo.measures.transitions import BINS, placebo_transitions, transitions

RATIOS = ("srr", "ndr", "nscr", "sds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The share of problems in each pair of bins: rows are of the first policy, columns of the second."""

    first: str
    second: str
    m: int
    """Samples of a problem whose accuracy it is."""
    pairs: int
    bins: Sequence[str]
    matrix: np.ndarray
    placebo: np.ndarray
    """Of the first policy against a second sample of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportChange:
    """Problems that are solved at k by both policies or by one of them, as means over pairs of runs."""

    first: str
    second: str
    benchmark: str
    k: int
    pairs: int
    problems: int
    counts: Mapping[str, float]
    """`kept`, `gained`, `lost`, `neither`."""
    placebo_counts: Mapping[str, float]
    ratios: Mapping[str, float]
    """By `RATIOS`, of the mean counts."""
    placebo_ratios: Mapping[str, float]
    excess: Mapping[str, Interval]
    """By `RATIOS`: ratio minus placebo of each pair, over the pairs."""


def transition_matrices(comparison: Comparison) -> list[Transition]:
    """From the baseline to each other arm, and from the base to each arm, over all problems of all benchmarks.

    The accuracy is that of m samples, half of those that every problem has, so that the placebo has two sets.
    """
    tables = by_arm(comparison)
    m = fewest(tables, comparison.benchmarks) // 2
    found = []
    for first, second, evaluated in _changes(comparison, tables) if m else []:
        matrices, placebos = [], []
        for before, after in evaluated:
            _, n_1, c_1 = counts(before, comparison.benchmarks)
            _, n_2, c_2 = counts(after, comparison.benchmarks)
            matrices.append(transitions((n_1, c_1), (n_2, c_2), m))
            placebos.append(placebo_transitions(n_1, c_1, m))
        found.append(
            Transition(
                first=first,
                second=second,
                m=m,
                pairs=len(evaluated),
                bins=BINS,
                matrix=np.mean(matrices, axis=0),
                placebo=np.mean(placebos, axis=0),
            )
        )
    return found


def support_changes(comparison: Comparison, level: float = LEVEL) -> list[SupportChange]:
    """From the base to each arm, and from the baseline to each other arm, by benchmark and over all of them.

    k is the largest power of two that half of the samples allow, so that the placebo has two sets of k.
    """
    tables = by_arm(comparison)
    groups = [[name] for name in comparison.benchmarks]
    if len(groups) > 1:
        groups = [list(comparison.benchmarks), *groups]
    found = []
    for group in groups:
        most = fewest(tables, group) // 2
        k = 2 ** int(math.log2(most)) if most else 0
        name = "all" if len(group) > 1 else group[0]
        for first, second, evaluated in _changes(comparison, tables) if k else []:
            found.append(
                _support(first, second, name, [(counts(a, group), counts(b, group)) for a, b in evaluated], k, level)
            )
    return found


def _support(first: str, second: str, name: str, evaluated: Sequence, k: int, level: float) -> SupportChange:
    changed = [support((n, c), (m, d), k) for (_, n, c), (_, m, d) in evaluated]
    chance = [placebo(n, c, k) for (_, n, c), _ in evaluated]
    mean, by_chance = _mean(changed), _mean(chance)
    return SupportChange(
        first=first,
        second=second,
        benchmark=name,
        k=k,
        pairs=len(evaluated),
        problems=len(evaluated[0][0][0]),
        counts=_counts(mean),
        placebo_counts=_counts(by_chance),
        ratios={ratio: getattr(mean, ratio) for ratio in RATIOS},
        placebo_ratios={ratio: getattr(by_chance, ratio) for ratio in RATIOS},
        excess={ratio: _excess(ratio, changed, chance, level) for ratio in RATIOS},
    )


def _excess(ratio: str, changed: Sequence[Support], chance: Sequence[Support], level: float) -> Interval:
    differences = [getattr(a, ratio) - getattr(b, ratio) for a, b in zip(changed, chance, strict=True)]
    return runs_interval(differences, level=level)


def _mean(supports: Sequence[Support]) -> Support:
    names = ("kept", "gained", "lost", "neither")
    means = {name: float(np.mean([getattr(one, name) for one in supports])) for name in names}
    return Support(k=supports[0].k, **means)


def _counts(one: Support) -> dict[str, float]:
    return {"kept": one.kept, "gained": one.gained, "lost": one.lost, "neither": one.neither}


Evaluations = tuple[Mapping[str, Evaluated], Mapping[str, Evaluated]]


def _changes(comparison: Comparison, tables: Mapping[str, Tables]) -> list[tuple[str, str, list[Evaluations]]]:
    """(first arm, second arm, pairs of evaluations), each from the policy that was trained less.

    The baseline to each other trained arm, then each policy that no run here has trained to those trained from it,
    then the base of each training run to its arm.
    """
    baseline, labels = comparison.baseline, [arm.label for arm in comparison.arms]
    untrained = [arm.label for arm in comparison.arms if all(run.is_untrained for run in arm.runs)]
    firsts = [baseline] if baseline in labels else []
    wanted = [(first, other) for first in firsts for other in labels if first in untrained or other not in untrained]
    wanted += [(first, other) for first in untrained for other in labels if other not in untrained]
    wanted = [(first, other) for first, other in dict.fromkeys(wanted) if first != other]
    found = [(first, other, pairs(tables[first], tables[other])) for first, other in wanted]
    for arm in comparison.arms:
        own = trained(comparison, arm)
        found.append((BASE, arm.label, [(base, own[run]) for run in own if (base := base_of(comparison, run))]))
    return [(first, second, evaluated) for first, second, evaluated in found if evaluated]

"""How often the intervals over problems hold the true value, by simulation.

    python -m benchmarks.interval_coverage
    python -m benchmarks.interval_coverage --draws 200

Each problem has a chance p of being solved, drawn from a Beta density; 64 samples of it are right with that chance. A
second policy solves it with the chance p (q + .4), q from Beta(5, 2), at most 1. Of every interval the share is printed
that was flagged as unreliable, and the share of the others that held the mean over all problems of the kind (`mean`,
`difference`) or the mean over the very problems that were drawn (`samples`).
"""

import argparse
from collections.abc import Callable

import numpy as np

from rsgrpo.intervals.base import Interval
from rsgrpo.intervals.problems import difference_interval, mean_interval
from rsgrpo.intervals.samples import sampling_interval
from rsgrpo.measures.pass_at_k import ladder

DIFFICULTIES = {"U-shaped, Beta(.3, .3)": (0.3, 0.3), "uniform, Beta(1, 1)": (1, 1), "peaked, Beta(8, 8)": (8, 8)}
SAMPLES = 64


def coverage(a: float, b: float, problems: int, k: int, draws: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """(share flagged, coverage of the others; nan if all are flagged) of each kind of interval."""
    rng = np.random.default_rng(seed)
    n, p = np.full(problems, SAMPLES), rng.beta(a, b, 10**6)
    q = _second(p, rng)
    truth = {"mean": _passed(p, k).mean(), "difference": (_passed(q, k) - _passed(p, k)).mean()}
    found: dict[str, list[tuple[Interval, float]]] = {"mean": [], "difference": [], "samples": []}
    for _ in range(draws):
        p = rng.beta(a, b, problems)
        q = _second(p, rng)
        first, second = (rng.binomial(SAMPLES, chance) for chance in (p, q))
        x, y = (ladder(n, correct, [k])[k] for correct in (first, second))
        found["mean"].append((mean_interval([x]), truth["mean"]))
        found["difference"].append((difference_interval([x], [y]), truth["difference"]))
        found["samples"].append((sampling_interval(n, first, k), float(_passed(p, k).mean())))
    return {kind: _counted(intervals) for kind, intervals in found.items()}


def _second(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.minimum(p * (rng.beta(5, 2, len(p)) + 0.4), 1)


def _passed(p: np.ndarray, k: int) -> np.ndarray:
    return 1 - (1 - p) ** k


def _counted(intervals: list[tuple[Interval, float]]) -> tuple[float, float]:
    held = [i.low <= truth <= i.high for i, truth in intervals if i.flag is None]
    return 1 - len(held) / len(intervals), float(np.mean(held)) if held else float("nan")


def main(show: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    kinds = ("mean", "difference", "samples")
    show("| difficulty | problems | pass@k | " + " | ".join(f"{kind}: flagged | covers" for kind in kinds) + " |")
    show("|---|---|---|" + "---|---|" * len(kinds))
    for name, (a, b) in DIFFICULTIES.items():
        for problems in (30, 500):
            for k in (1, 4, 32):
                found = coverage(a, b, problems, k, draws)
                cells = [f"{found[kind][0]:.0%} | {_share(found[kind][1])}" for kind in kinds]
                show(f"| {name} | {problems} | {k} | " + " | ".join(cells) + " |")


def _share(value: float) -> str:
    return "" if value != value else f"{value:.1%}"


if __name__ == "__main__":
    main()

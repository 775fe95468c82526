"""Runs of two arms with known counts, for the tests of reports."""

from collections.abc import Sequence
from pathlib import Path

from rsgrpo import run_folder
from rsgrpo.comparison.compare import Comparison, compare
from rsgrpo.comparison.measures import measure
from rsgrpo.comparison.runs import read_run
from tests.comparison.folders import GRPO, changed, write_run

BASE = [0, 1, 2, 3, 0, 1, 2, 3, 0, 4]
WORSE = [0, 0, 0, 0, 0, 8, 8, 8, 8, 8]
BETTER = [8, 8, 8, 8, 8, 8, 8, 8, 8, 0]


def write_arms(
    folder: Path, seeds: int = 1, *, worse: Sequence[int] = (*WORSE,), better: Sequence[int] = (*BETTER,)
) -> list[Path]:
    """GRPO solves the second half, RS-GRPO all but the last; the s-th seed of both has s fewer on problem 5."""
    base = BASE if len(worse) == len(BASE) else [0] * len(worse)
    return [
        write_run(
            folder / f"{name}{seed}",
            changed(seed=seed, **sections),
            {0: base, 60: [c - seed * (i == 5) for i, c in enumerate(counts)]},
        )
        for name, sections, counts in (("grpo", GRPO, worse), ("ours", {}, better))
        for seed in range(seeds)
    ]


def compared(folders: Sequence[Path]) -> Comparison:
    """By pass@1 and pass@4."""
    return compare([read_run(folder) for folder in folders], [measure("pass@1"), measure("pass@4")])


def write_visits(folder: Path, right: dict[str, int], *, iteration: int = 10) -> None:
    """One visit of each training problem, of 8 completions, and a right completion of those that were solved."""
    visits = [
        {"iteration": iteration, "prompt": name, "n": 8, "correct": c, "reward_mean": c / 8, "dropped": None}
        for name, c in right.items()
    ]
    run_folder.append(folder / run_folder.PROMPTS, visits)
    samples = [
        {
            "iteration": iteration,
            "prompt": name,
            "problem": f"the text of {name}",
            "completion": f"<b>{name}</b> is \\boxed{{1}}" if good else "no idea",
            "reward": float(good),
            "correct": good,
        }
        for name, c in right.items()
        for good in ([True] * (c > 0) + [False])
    ]
    run_folder.append(folder / run_folder.ROLLOUTS, samples)

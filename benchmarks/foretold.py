"""How much of what a run does is foretold by w(p)? Committed runs of the bench, beside the flow of their objectives.

    python benchmarks/foretold.py [FIGURE.png]

The test problems are put into classes by how many of 64 completions of the base were right. Of each class the flow of
an objective (`rsgrpo/audit/flow.py`) says what becomes of its accuracy: `plain` for one logit and plain gradient steps,
dp/dt = w(p) [p (1 - p)]^2, and `natural` for steps that move every logit by its expected advantage, dp/dt =
w(p) p (1 - p). What is not known is how far a run went: one number for each objective, so chosen that the mean accuracy
over all problems is that of its runs. The accuracy of a problem is not known either, but by its 64 completions: a beta
distribution is fitted to all of them, and the flow is averaged over what it leaves open.

Printed: for each objective the share of the variance of the trained accuracies between classes that the flow explains,
and the correlation of its difference to GRPO, class by class, with the one that was measured.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scipy.optimize import brentq, minimize
from scipy.special import betaln

from rsgrpo.analysis.figures import panels
from rsgrpo.audit.curves import weight_curve
from rsgrpo.bench.records import Record, Records

ROOT = Path(__file__).parents[1]
COMPLETIONS = 16
CLASSES = (0, 1, 2, 4, 8, 16, 32, 48, 65)
"""Right completions of the base, of 64: from each to below the next."""
OBJECTIVES = ("grpo", "grpo_std", "rs_grpo_2", "rs_grpo_4", "rs_grpo_8", "vimco_4", "maxrl", "maxpo")
DRAWN = ("rs_grpo_2", "rs_grpo_8", "vimco_4", "maxpo")
FLOWS = {"plain": 1, "natural": 0}
"""The power of p (1 - p) in dx/dt, x the logit of p."""
LOGITS = np.linspace(-9, 9, 721)
P = 1 / (1 + np.exp(-LOGITS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The mean accuracies of the classes of problems, after training."""

    sizes: np.ndarray
    """How often each count of the base occurred, [n + 1]."""
    measured: np.ndarray
    """[C]."""
    runs: np.ndarray
    """The same of each run, [R, C]; nan where it has no such problem."""


def measured(records: list[Record]) -> Classes:
    """What the runs of one objective on one task did."""
    n = records[0].n
    of_runs = []
    for record in records:
        before, after = np.array(record.before), np.array(record.after) / n
        place = np.digitize(before, CLASSES) - 1
        of_runs.append([after[place == c].mean() if (place == c).any() else np.nan for c in range(len(CLASSES) - 1)])
    before = np.concatenate([record.before for record in records])
    after, place = np.concatenate([record.after for record in records]) / n, np.digitize(before, CLASSES) - 1
    means = [after[place == c].mean() if (place == c).any() else np.nan for c in range(len(CLASSES) - 1)]
    return Classes(
        sizes=np.bincount(before, minlength=n + 1), measured=np.array(means), runs=np.array(of_runs, dtype=float)
    )


def posterior(sizes: np.ndarray) -> np.ndarray:
    """What c right completions of n leave open of the accuracy, [n + 1, grid], under the beta prior that fits best."""
    n, counts = len(sizes) - 1, np.arange(len(sizes))

    def misfit(logs: np.ndarray) -> float:
        a, b = np.exp(logs)
        return -float(sizes @ (betaln(counts + a, n - counts + b) - betaln(a, b)))

    a, b = np.exp(minimize(misfit, [0.0, 0.0]).x)
    logs = np.outer(counts + a, np.log(P)) + np.outer(n - counts + b, np.log1p(-P))  # by the logit: dp = p (1 - p) dx
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def flowed(weight: np.ndarray, power: int, time: float) -> np.ndarray:
    """The accuracy after `time`, from each accuracy of the grid: dx/dt = w(p) [p (1 - p)]^power."""
    slowness = 1 / np.maximum(weight * (P * (1 - P)) ** power, 1e-12)
    arrives = np.concatenate([[0.0], np.cumsum((slowness[1:] + slowness[:-1]) / 2 * np.diff(LOGITS))])
    return 1 / (1 + np.exp(-np.interp(arrives + time, arrives, LOGITS)))


def foretold(weight: np.ndarray, power: int, of: Classes) -> np.ndarray:
    """What the flow says of each class, when it goes as far as the runs went on average."""
    open_to, filled = posterior(of.sizes), ~np.isnan(of.measured)
    sizes = by_class(of.sizes, np.ones(len(of.sizes)))

    def after(log_time: float) -> np.ndarray:
        told = open_to @ flowed(weight, power, np.exp(log_time))
        return by_class(of.sizes, told) / np.where(filled, sizes, 1)

    mean = sizes[filled] @ of.measured[filled] / sizes.sum()
    time: Any = brentq(lambda log_time: sizes @ after(log_time) / sizes.sum() - mean, -9, 9)
    return np.where(filled, after(time), np.nan)


def by_class(sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The sum of the values of each class, a count of the base as often as it occurred."""
    return np.add.reduceat(sizes * values, CLASSES[:-1])


def explained(of: Classes, told: np.ndarray) -> float:
    """1 - what the flow leaves of the variance between classes, each as large as it is."""
    sizes, filled = by_class(of.sizes, np.ones(len(of.sizes))), ~np.isnan(told)
    weights, is_, says = sizes[filled], of.measured[filled], told[filled]
    mean = weights @ is_ / weights.sum()
    return float(1 - weights @ (is_ - says) ** 2 / (weights @ (is_ - mean) ** 2))


def weights_of(arms: tuple[str, ...]) -> dict[str, np.ndarray]:
    """w(p) of the objective of each arm, on the grid."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        objectives = {arm: instantiate(compose("config", [f"arm={arm}"]).objective) for arm in arms}
    grid = torch.from_numpy(P)
    return {arm: weight_curve(objective, grid, COMPLETIONS).weight.numpy() for arm, objective in objectives.items()}


def main(figure_file: str | None = None) -> None:
    records = [record for record in Records(ROOT / "docs" / "results").all() if not record.tunes]
    weights = weights_of(OBJECTIVES)
    tasks = ("countdown", "path_star")
    figure, axes = panels(len(tasks), len(DRAWN), 13, 5.6)
    for row, task in zip(axes, tasks, strict=True):
        of = {a: measured([r for r in records if r.task == task and r.arm == a]) for a in OBJECTIVES}
        told = {flow: {a: foretold(weights[a], power, of[a]) for a in OBJECTIVES} for flow, power in FLOWS.items()}
        print(f"{task:12} explained: plain  natural   difference to grpo, correlation: plain  natural")
        filled = ~np.isnan(of["grpo"].measured)
        for arm in OBJECTIVES:
            shares = "".join(f"{explained(of[arm], told[flow][arm]):9.2f}" for flow in FLOWS)
            line = f"  {arm:10}          {shares}"
            if arm != "grpo":
                differs = (of[arm].measured - of["grpo"].measured)[filled]
                found = [np.corrcoef(differs, (told[flow][arm] - told[flow]["grpo"])[filled])[0, 1] for flow in FLOWS]
                line += f"{found[0]:35.2f}{found[1]:9.2f}"
            print(line)
        for axis, arm in zip(row, DRAWN, strict=True):
            pairs = (of[arm].runs - of["grpo"].runs)[:, filled]
            x = np.arange(filled.sum())
            axis.axhline(0, color="0.6", linewidth=0.6)
            enough = (~np.isnan(pairs)).sum(axis=0) > 1
            spread = np.where(enough, np.nanstd(np.where(enough, pairs, 0.0), axis=0, ddof=1), 0.0)
            axis.errorbar(x, (of[arm].measured - of["grpo"].measured)[filled], spread, fmt="o", color="black", ms=4)
            for flow, style in zip(FLOWS, ("--", "-"), strict=True):
                axis.plot(x, (told[flow][arm] - told[flow]["grpo"])[filled], style, label=f"foretold, {flow}")
            axis.set_xticks(x, [f"{low}" for low in np.array(CLASSES[:-1])[filled]], fontsize=8)
            axis.set_title(f"{arm} on {task}", fontsize=9)
        row[0].set_ylabel("accuracy minus GRPO's")
    for axis in axes[-1]:
        axis.set_xlabel("right of 64 before training, from")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.suptitle("Gains by difficulty: measured (dots, with the spread over runs) and foretold by w(p)", fontsize=11)
    if figure_file is not None:
        figure.savefig(figure_file, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:2])

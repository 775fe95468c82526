"""The tables at the end of a run, made from its run folder alone."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rsgrpo import run_folder
from rsgrpo.errors import UserError
from rsgrpo.measures.pass_at_k import mean_pass_at_k

DEAR = 0.15
"""Share of a run that tests during training should not exceed."""

OUTSIDE_A_STAGE = ("step", "sampled_tokens_per_s", "trained_tokens_per_s")


def print_summary(run: Path, console: Console, *, program: str | None = None) -> None:
    """Base against trained, where the time of this process went, the path of the run, and what it may conclude.

    `program` is what a user types before the words of a command line, where those that would decide are to be shown.
    """
    from rsgrpo.analysis.verdict import verdict  # scipy takes half a second, and nobody waits for it before a run

    metrics = run_folder.read(run / run_folder.METRICS)
    begun = run_folder.read_json(run / run_folder.DONE).get("resumed_from", 0)
    console.print(pass_table(run, metrics))
    console.print(time_table(run, [record for record in metrics if record["iteration"] > begun]))
    console.print(f"run folder: {run}", soft_wrap=True)
    for line in verdict(run, _ks(run), program):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def print_evaluation(run: Path, console: Console) -> None:
    """What `task=evaluate` found, split by split, and the path of the run."""
    for split, file in (("validation", run_folder.VALIDATION), ("test", run_folder.TEST)):
        if results := run_folder.read(run / file):
            console.print(evaluation_table(split, results, _ks(run)))
    console.print(f"run folder: {run}", soft_wrap=True)


def evaluation_table(split: str, results: list[dict[str, Any]], ks: list[int]) -> Table:
    """Unbiased pass@k over all problems of a split, and by dataset where there are several.

    n is the number of completions of each problem, tokens their mean length.
    """
    table = Table(title=f"{split} split", title_justify="left")
    table.add_column("", no_wrap=True)
    for column in ("problems", "n", *(f"pass@{k}" for k in ks), "tokens", "truncated"):
        table.add_column(column, justify="right", no_wrap=True)
    by_dataset: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        by_dataset[result["facts"].get("dataset", "")].append(result)
    datasets = sorted(by_dataset.items()) if len(by_dataset) > 1 else []
    for name, rows in [("all", results), *datasets]:
        passed = mean_pass_at_k([(row["n"], row["correct"]) for row in rows], ks)
        completions = sum(row["n"] for row in rows)
        table.add_row(
            name,
            f"{len(rows):,}",
            "/".join(str(n) for n in sorted({row["n"] for row in rows})),
            *(_number(passed.get(f"pass@{k}")) for k in ks),
            f"{sum(row['mean_tokens'] * row['n'] for row in rows) / completions:,.0f}",
            f"{sum(row['truncated'] for row in rows) / completions:.1%}",
        )
    return table


def pass_table(run: Path, metrics: list[dict[str, Any]]) -> Table:
    """Unbiased pass@k of the test split before and after training, and the cumulative solve rate in training.

    A test split of several datasets has a line for each below that of all problems.
    """
    table = Table(title="base against trained (test split)", title_justify="left")
    counts: dict[int, list[tuple[int, int]]] = defaultdict(list)
    by_dataset: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for record in run_folder.read(run / run_folder.TEST):
        counts[record["iteration"]].append((record["n"], record["correct"]))
        if "dataset" in record["facts"]:
            by_dataset[record["iteration"]][record["facts"]["dataset"]].append((record["n"], record["correct"]))
    names = [f"pass@{k}" for k in _ks(run)] if counts else []
    for column in ("policy", *names, "cumulative solve rate", "entropy"):
        table.add_column(column, justify="left" if column == "policy" else "right", no_wrap=True)
    trained = {record["iteration"]: record for record in metrics if "train/reward_mean" in record}
    last = max(trained, default=0)
    for iteration in sorted({min(counts), max(counts)}) if counts else [last]:
        values = mean_pass_at_k(counts[iteration], _ks(run)) if counts else {}
        at = trained.get(iteration, {})
        table.add_row(
            "base" if iteration == 0 else f"iteration {iteration}",
            *(_number(values.get(name)) for name in names),
            _number(at.get("train/cumulative_solve_rate")),
            _number(at.get("train/entropy")),
        )
        datasets = by_dataset[iteration]
        for dataset in sorted(datasets) if len(datasets) > 1 else ():
            values = mean_pass_at_k(datasets[dataset], _ks(run))
            table.add_row(f"  {dataset}", *(_number(values.get(name)) for name in names), "", "")
    if not counts:
        table.caption = "no test on record: there is no test split, or no callback recorded its results"
    return table


def time_table(run: Path, metrics: list[dict[str, Any]]) -> Table:
    """Seconds of every stage of the steps, which sum to the step, and of what lay around them."""
    seconds: dict[str, float] = defaultdict(float)
    for record in metrics:
        for name, value in record.items():
            if name.startswith("time/") and name.endswith("_s") and not name.endswith("_per_s"):
                seconds[name.removeprefix("time/").removesuffix("_s")] += value
    evaluations = {name: seconds.pop(f"eval_{name}", 0.0) for name in ("validation", "test")}
    evaluations["test"] = _tests_during_training(metrics)
    table = Table(title="where the time went", title_justify="left")
    for column in ("", "seconds", "share"):
        table.add_column(column, justify="left" if not column else "right")
    step = seconds.pop("step", 0.0)
    for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{value:.1f}", f"{value / step:.0%}")
    table.add_row("all steps", f"{step:.1f}", "100%" if step else "", end_section=True)
    phases = run_folder.read_json(run / run_folder.DONE).get("seconds", {})
    total = phases.get("total")
    for name in ("setup", "base_evaluation", "training", "final_evaluation", "export"):
        if name == "training" and name in phases:
            for split, spent in evaluations.items():
                if spent:
                    table.add_row(
                        f"{split} during training", f"{spent:.1f}", f"{spent / total:.0%} of the run" if total else ""
                    )
            left = phases[name] - step - sum(evaluations.values())
            table.add_row("checkpoints, logging", f"{left:.1f}", "")
        elif name in phases:
            table.add_row(name.replace("_", " "), f"{phases[name]:.1f}", "")
    table.add_row("this run", _seconds(total), "")
    table.caption = _throughput(metrics)
    return table


def dear_tests(run: Path) -> tuple[float, int, float] | None:
    """(share, n, other share) when tests during training took more than 15 % of this process: every n-th iteration they
    would take the other share. None when they took less.
    """
    done = run_folder.read_json(run / run_folder.DONE)
    total, every = done.get("seconds", {}).get("total"), run_folder.read_config(run).get("eval", {}).get("test_every")
    metrics = [r for r in run_folder.read(run / run_folder.METRICS) if r["iteration"] > done.get("resumed_from", 0)]
    spent = _tests_during_training(metrics)
    if not total or not every or spent <= DEAR * total:
        return None
    rest = total - spent
    fewer = math.ceil(every * spent / (DEAR / (1 - DEAR) * rest))
    after = spent * every / fewer
    return spent / total, fewer, after / (after + rest)


def _tests_during_training(metrics: list[dict[str, Any]]) -> float:
    """Seconds of all tests but the one after the last iteration."""
    last = max((record["iteration"] for record in metrics), default=0)
    return sum(record.get("time/eval_test_s", 0.0) for record in metrics if record["iteration"] < last)


def _throughput(metrics: list[dict[str, Any]]) -> str:
    """Medians over the iterations."""
    parts = []
    for name in ("sampled", "trained"):
        values = sorted(r[f"time/{name}_tokens_per_s"] for r in metrics if f"time/{name}_tokens_per_s" in r)
        if values:
            parts.append(f"{values[len(values) // 2]:,.0f} tokens/s {name}")
    return ", ".join(parts)


def _ks(run: Path) -> list[int]:
    evaluation = run_folder.read_config(run).get("eval")
    ks = evaluation.get("k") if isinstance(evaluation, dict) else None
    if not isinstance(ks, list) or not all(type(k) is int and k > 0 for k in ks):
        raise UserError(f"{run / run_folder.CONFIG} has no eval.k; restore it from a copy of the run folder")
    return ks


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"

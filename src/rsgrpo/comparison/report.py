"""Everything that `task=report` shows, as plain values, for `report.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rsgrpo import run_folder
from rsgrpo.comparison.arms import policy_of, temperature_of
from rsgrpo.comparison.changes import support_changes, transition_matrices
from rsgrpo.comparison.compare import Comparison
from rsgrpo.comparison.curves import pass_at_k_curves, unique_answer_curves
from rsgrpo.comparison.panels import plain
from rsgrpo.comparison.paper import beside_the_paper
from rsgrpo.comparison.problems import only_solved, only_solved_in_training
from rsgrpo.comparison.record import record
from rsgrpo.comparison.temperatures import at_usual_temperature, temperature_panels
from rsgrpo.comparison.training import against_cost, evaluated_curves, over_training

NO_ANSWERS = (
    "Distinct answers (Fig. 7, left), and an answer to each problem that one arm alone solves, need every sample: "
    "compare evaluations of task=evaluate, which writes them to eval/test.samples.jsonl.gz."
)

NO_TEMPERATURES = (
    "Whether a gain in pass@k is more than a hotter sampler needs the policies at several temperatures: task=evaluate "
    "model.path=[null,RUN,RUN] eval=temperatures, and a report of its folder."
)


def report(comparison: Comparison, level: float, command: str) -> dict[str, Any]:
    """The comparison, the panels of every figure, the changes of problems, the paper's table, and what is left out.

    `command` is the line that makes the report.
    """
    missing: list[str] = []
    costs = against_cost(comparison, missing)
    usual = at_usual_temperature(comparison)
    matrices = transition_matrices(usual)
    if not evaluated_curves(comparison):
        missing.append(
            "Curves of pass@k over training need evaluations during it: eval.test_every=10 (test), eval.every=10 "
            "(validation)."
        )
    unique = unique_answer_curves(usual, level)
    if not unique:
        missing.append(NO_ANSWERS)
    temperatures = temperature_panels(comparison, level)
    if not temperatures:
        missing.append(NO_TEMPERATURES)
    shown, at = {arm.label for arm in usual.arms}, temperature_of(usual.arms[0])
    if temperatures and (others := {policy_of(arm.label) for arm in comparison.arms} - shown):
        missing.append(
            f"Not evaluated at temperature {at:g}, and so in the comparisons alone: {', '.join(sorted(others))}."
        )
    if not matrices:
        missing.append("Transitions and support need a base or a baseline to start from, and two samples of a problem.")
    return plain(
        {
            "comparison": record(comparison, level),
            "curves": pass_at_k_curves(usual, level),
            "answers": unique,
            "temperatures": temperatures,
            "temperature": at if temperatures else None,
            "training": over_training(comparison),
            "costs": costs,
            "transitions": matrices,
            "support": support_changes(usual, level),
            "only": only_solved(usual),
            "only_in_training": only_solved_in_training(comparison),
            "paper": beside_the_paper(usual),
            "missing": missing,
            "command": command,
            "runs": _runs(comparison),
        }
    )


def _runs(comparison: Comparison) -> list[Mapping[str, Any]]:
    """Each run with the words that it was started with."""
    return [
        {
            "arm": arm.label,
            "folder": str(run.folder),
            "seed": run.seed,
            "base": run.base,
            "iteration": comparison.iterations[str(run.folder)] if run.trains else None,
            "words": _words(run_folder.read_overrides(run.folder)),
        }
        for arm in comparison.arms
        for run in arm.runs
    ]


def _words(overrides: Sequence[str]) -> list[str]:
    """Without the folder, which a second run must not share."""
    return [word for word in overrides if not word.startswith(("hydra.run.dir=", "hydra.sweep.dir=", "ckpt="))]

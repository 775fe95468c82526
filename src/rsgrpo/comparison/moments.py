"""At which of its evaluations each run is looked at, so that all have had the same."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from rsgrpo.comparison.runs import Run
from rsgrpo.errors import UserError

Match = Literal["iterations", "prompts", "tokens", "seconds", "kl"]

KL = "train/kl"
"""Logged by the term `kl`."""

SAMPLED = "train/groups_sampled"
"""Logged of an iteration that sampled other prompts for groups that were dropped."""


def moments(runs: Sequence[Run], split: str, match: Match = "iterations") -> dict[Run, int]:
    """The iteration of the evaluation of `split` at which each run is compared: the last one that is fair to all.

    By iterations it is the last at which all runs were evaluated. Otherwise the budget is what the cheapest run had
    spent at its last evaluation, in training (evaluations do not count), and each run is taken at its last evaluation
    within it.

    Raises:
        UserError: when no iteration is common to all.
    """
    evaluated = {run: sorted(run.evaluations(split)) for run in runs if run.trains}
    alone = {run: max(run.evaluations(split)) for run in runs if not run.trains}
    if not evaluated:
        return alone
    if match == "iterations":
        common = set.intersection(*map(set, evaluated.values()))
        if not {i for i in common if i > 0}:
            ends = ", ".join(f"{run.folder} at {_listed(at)}" for run, at in [*evaluated.items()][:3])
            raise UserError(
                f"runs: they were evaluated on the {split} split at different iterations ({ends}); match by tokens "
                "instead (task.match=tokens), compare another split (task.split=validation), or evaluate them during "
                "training (eval.test_every)"
            )
        return alone | {run: max(common) for run in evaluated}
    used = {run: spent(run, match) for run in evaluated}
    budget = min(_at(used[run], at[-1]) for run, at in evaluated.items()) * (1 + 1e-9)
    return alone | {run: max(i for i in at if i == 0 or _at(used[run], i) <= budget) for run, at in evaluated.items()}


def cost(run: Run, iteration: int, match: Match) -> float:
    """What a run had spent on training by an iteration: iterations, prompts, sampled tokens, seconds of steps, or nats
    per token of KL divergence from the base policy."""
    return _at(spent(run, match), iteration)


def spent(run: Run, match: Match) -> dict[int, float]:
    """What a run had spent on training by each iteration, 0 included; see `cost`. Of the KL divergence from the base
    policy, which is not spent and may fall, the largest so far.

    Raises:
        UserError: when the run has not logged what it takes.
    """
    if match == "kl":
        return _largest_kl(run)
    prompts = float(run.settings.get("batching.prompts_per_iteration", 0))
    completions = float(run.settings.get("batching.completions_per_prompt", 0))
    per_iteration: Mapping[str, Callable[[Mapping[str, float]], float]] = {
        "iterations": lambda record: 1.0,
        "prompts": lambda record: record.get(SAMPLED, prompts),
        "tokens": lambda record: record.get(SAMPLED, prompts) * completions * record["train/completion_tokens_mean"],
        "seconds": lambda record: record["time/step_s"],
    }
    total, sums = 0.0, {0: 0.0}
    for iteration, record in sorted(run.metrics.items()):
        if "train/reward_mean" not in record and "time/step_s" not in record:
            continue  # an evaluation
        try:
            total += per_iteration[match](record)
        except KeyError as missing:
            raise UserError(
                f"{run.folder} has not logged {missing.args[0]}, so its {match} are not known; match by iterations"
            ) from None
        sums[iteration] = total
    return sums


def _largest_kl(run: Run) -> dict[int, float]:
    largest, found, logged = 0.0, {0: 0.0}, False
    for iteration, record in sorted(run.metrics.items()):
        if "train/reward_mean" in record:
            logged = logged or KL in record
            # It is measured before the update, so it is that of the policy after the iteration before.
            found[iteration - 1] = largest = max(largest, record.get(KL, 0.0))
            found[iteration] = largest
    if not logged:
        raise UserError(
            f"{run.folder} has not logged its KL divergence from the base policy; a run logs it with +term/kl=k3 "
            "(term.kl.coefficient=0 changes nothing else), or match by iterations"
        )
    return found


def _at(used: Mapping[int, float], iteration: int) -> float:
    return used[max(i for i in used if i <= iteration)]


def _listed(iterations: Sequence[int]) -> str:
    shown = [str(i) for i in iterations[-3:]]
    return " and ".join(shown)

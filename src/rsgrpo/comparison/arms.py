"""Which runs are the same experiment with another seed, and what the others differ in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsgrpo.comparison.runs import Run
from rsgrpo.errors import UserError

OBJECTIVE = "objective._target_"

POLICY = "model.path"
"""What tells policies apart that no run here has trained."""

TEMPERATURE = "eval.sampling.temperature"
"""Tells evaluations of the same policy apart: is a gain more than a hotter sampler?"""

USUAL = 1.0
"""The temperature that policies are compared at, or the one of a grid that is nearest."""

SEEDS = ("seed", "model.pretrain.seed")
"""What tells the runs of an arm apart."""

NO_ARM = re.compile(
    r"(ckpt|task|callbacks|logger|trainer|rollout|eval|hydra|runs)(\..*)?"
    r"|model\.(path|cache_dir|chunk_tokens)|data\.(.*\.)?(\w*path|cache_dir)|batching\.row_tokens"
    r"|reward(\..*)?\.(workers|isolation)(\..*)?"
)
"""Settings that make no other experiment: where and by what a run is computed, written down and evaluated. The problems
are compared by their hash instead, the base is a block, and what evaluations differ in is refused or told."""

PROBLEMS = "data.train"
"""Stands for the hash of the problems that a run was trained on, wherever they lie."""

OF_A_BASE = re.compile(r"(model\.pretrain|demonstrations)(\..*)?")
"""How a base is pretrained: read by nothing in a run that starts from `model.path`."""

LENGTH = ("iterations", "schedule.iterations")
"""How long a run is: no other experiment either, unless its schedule follows it."""

BASE = "base"
"""The arm of the policies before training."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The runs of one experiment, which differ in seed and base alone."""

    label: str
    runs: tuple[Run, ...]
    settings: Mapping[str, Any]
    """Its values of the settings that differ between the arms."""


def arms_of(runs: Sequence[Run]) -> list[Arm]:
    """The arms, in the order of their first runs.

    Raises:
        UserError: for two runs of an arm with the same base and seed.
    """
    experiments = [_experiment(run) for run in runs]
    keys = sorted({key for experiment in experiments for key in experiment})
    differ = [key for key in keys if len({repr(experiment.get(key)) for experiment in experiments}) > 1]
    groups: dict[str, list[Run]] = {}
    values: dict[str, dict[str, Any]] = {}
    for run, experiment in zip(runs, experiments, strict=True):
        own = {key: experiment.get(key) for key in differ}
        identity = repr(own)
        groups.setdefault(identity, []).append(run)
        values[identity] = own
    labels = _labels([values[identity] for identity in groups], experiments[0] if experiments else {})
    arms = [
        Arm(label=label, runs=tuple(members), settings=values[identity])
        for label, (identity, members) in zip(labels, groups.items(), strict=True)
    ]
    for arm in arms:
        _check_seeds(arm)
    return arms


def policy_of(label: str) -> str:
    """The label of an arm without the temperature at which it was evaluated.

    >>> policy_of("grpo temperature=0.6 lr=2")
    'grpo lr=2'
    """
    return re.sub(r" temperature=\S+", "", label)


def temperature_of(arm: Arm) -> float:
    """The temperature at which its policies were evaluated."""
    return float(arm.runs[0].settings.get(TEMPERATURE, USUAL))


def _experiment(run: Run) -> dict[str, Any]:
    """The settings that make it the experiment that it is; of a policy that no known run has trained, its name."""
    settings = run.experiment
    sampler = {TEMPERATURE: _number(run.settings.get(TEMPERATURE))}
    if run.is_untrained:
        return {POLICY: settings.get("model.path") or BASE, **sampler}
    without = set(SEEDS)
    if str(settings.get("schedule._target_", "")).endswith(".Constant"):
        without |= set(LENGTH)
    if settings.get("model.path") is not None:
        without |= {key for key in settings if OF_A_BASE.fullmatch(key)}
    kept = [key for key in settings if not NO_ARM.fullmatch(key) and key not in without]
    data = (run.trained_by or run).described.get("data", {}).get("train", {}).get("blake2b")
    return {key: _number(settings[key]) for key in kept} | {PROBLEMS: data and data[:8]} | sampler


def _number(value: Any) -> Any:
    """2 and 2.0 are the same setting."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_seeds(arm: Arm) -> None:
    seen: dict[tuple[str, int], Run] = {}
    for run in arm.runs:
        if run.pair in seen:
            first, second = (_named(one) for one in (seen[run.pair], run))
            raise UserError(
                f"runs: {first} and {second} would count twice: both are of {arm.label}, seed {run.seed}, from the "
                "same base; leave one of them out"
            )
        seen[run.pair] = run


def _named(run: Run) -> str:
    """A run by its folder; an evaluation with the run whose policy it is of."""
    if run.trains:
        return str(run.folder)
    of = str(run.trained_by.folder) if run.trained_by is not None else "a policy that no run here has trained"
    return f"{run.folder} (an evaluation of {of})"


def _labels(values: Sequence[Mapping[str, Any]], shared: Mapping[str, Any]) -> list[str]:
    """`rs_grpo beta=4`: the objective, and whatever else tells an arm from the others."""
    return [_label(own, shared, values) for own in values]


def _label(own: Mapping[str, Any], shared: Mapping[str, Any], values: Sequence[Mapping[str, Any]]) -> str:
    policy, rivals = own.get(POLICY, shared.get(POLICY)), dict[str, Sequence[Mapping[str, Any]]]()
    if policy is not None:
        parts = [Path(str(policy)).name]
    else:
        target = own.get(OBJECTIVE, shared.get(OBJECTIVE))
        parts, trained = [_name_of(target)], [other for other in values if other.get(POLICY) is None]
        alike = [other for other in trained if other.get(OBJECTIVE) == own.get(OBJECTIVE)]
        rivals |= {key: alike if key.startswith("objective.") else trained for key in own}
    rivals[TEMPERATURE] = values
    for key, value in own.items():
        if key == OBJECTIVE or len({repr(other.get(key)) for other in rivals.get(key, ())}) < 2:
            continue
        name = "temperature" if key == TEMPERATURE else key.removeprefix("objective.").removesuffix("._target_")
        parts.append(f"{name}={_name_of(value) if key.endswith('._target_') else _text(value)}")
    return " ".join(parts)


def _name_of(target: Any) -> str:
    """`rs_grpo` of `rsgrpo.objectives.rs_grpo.RSGRPO`; of a class from elsewhere, its own name."""
    module, _, name = str(target).rpartition(".")
    return module.rpartition(".")[2] if module.startswith("rsgrpo.") else name


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)

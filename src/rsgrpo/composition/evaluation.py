"""`task=evaluate`: which policies are sampled at which temperatures, and what makes it the evaluation that it is."""

import copy
import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.command_line.names import plain
from rsgrpo.command_line.same_run import flat, is_at, may_change
from rsgrpo.comparison.runs import find_runs, read_run
from rsgrpo.errors import UserError, field_errors_name_their_key
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.evaluation.samples import counted
from rsgrpo.types import Prompt, Sampling

MAY_GROW = ("eval.completions", "eval.test_completions", "eval.test_completions_of", "eval.validation_completions")
"""More samples extend an evaluation."""

MAY_DIFFER = (*MAY_GROW, "eval.k", "eval.every", "eval.test_every", "eval.curve_completions", "objective", "schedule")
"""Settings that change no sample of an evaluation."""

OF_A_SAMPLE = ("rollout._target_",)
"""Settings that a training run may change when it is resumed, and an evaluation may not: another engine draws other
samples."""


def evaluates(cfg: DictConfig) -> bool:
    """Whether the task is `evaluate`, whose `model.path` may name runs, and several policies."""
    return str(cfg.task.get("_target_")).endswith(".evaluate.evaluate")


def evaluations_of(cfg: DictConfig) -> list[DictConfig]:
    """The configuration of each evaluation, with the folder of its policy.

    Raises:
        UserError: for a policy or temperature of the wrong kind, and for a run that has exported no policy.
    """
    found = [job for _, job in jobs_of(cfg)]
    for job in found:
        OmegaConf.update(job, "model.path", policy_named(job.model.path)[0])
    return found


def jobs_of(cfg: DictConfig) -> list[tuple[str, DictConfig]]:
    """(folder, configuration) of each policy at each temperature; a single one has no folder of its own.

    Raises:
        UserError: for a policy or temperature of the wrong kind.
    """
    named = _several(cfg.model.path, "model.path", (str, type(None)), "a folder or a name, or a list of them")
    policies = list(dict.fromkeys(policy for name in named for policy in _policies_of(name)))
    temperatures = _several(
        cfg.eval.temperature,
        "eval.temperature",
        (int, float, type(None)),
        "a number, or a list of numbers such as [.6,1]",
    )
    with field_errors_name_their_key("eval"):
        for temperature in temperatures:
            Sampling(max_new_tokens=1, temperature=1.0 if temperature is None else float(temperature))
    jobs = []
    for policy in policies:
        for temperature in temperatures:
            job = copy.deepcopy(cfg)
            OmegaConf.update(job, "model.path", policy)
            OmegaConf.update(job, "eval.temperature", None)
            if temperature is not None:
                OmegaConf.update(job, "eval.sampling.temperature", float(temperature))
            parts = [plain(_short(policy))] if len(policies) > 1 else []
            parts += [f"temperature{temperature:g}"] if len(temperatures) > 1 else []
            jobs.append(("_".join(parts), job))
    names = [name for name, _ in jobs]
    if len(set(names)) < len(names):
        jobs = [(f"{i}_{name}", job) for i, (name, job) in enumerate(jobs)]
    return jobs


def _policies_of(name: str | None) -> list[str | None]:
    """What a pattern, or a folder of runs such as a sweep, stands for: all runs, or all policies, that it holds."""
    if name is None:
        return [None]
    if glob.has_magic(name):
        matches = sorted(map(Path, glob.glob(str(Path(name).expanduser()))))
        if policies := [str(place) for place in matches if _is_policy(place)]:
            return [*policies]
        return [str(run) for run in find_runs([name], key="model.path")]
    folder = Path(name).expanduser()
    if _is_policy(folder) or (folder / run_folder.RUN).is_file() or not any(folder.glob(f"*/{run_folder.RUN}")):
        return [name]
    return [str(run) for run in find_runs([name], key="model.path")]


def _is_policy(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _several(value: Any, key: str, kinds: tuple[type, ...], meaning: str) -> list[Any]:
    values = list(value) if isinstance(value, list | ListConfig) else [value]
    if not values or not all(isinstance(v, kinds) and not isinstance(v, bool) for v in values):
        raise UserError(f"{key}={value} must be {meaning}; correct it, or leave it out")
    return list(dict.fromkeys(values))


def _short(policy: str | None) -> str:
    """What a policy is known by: the folder of its run, or its own name."""
    if policy is None:
        return "base"
    path = Path(policy)
    return path.parent.name if path.name == run_folder.POLICY else path.name


def policy_named(path: str | None) -> tuple[str | None, str]:
    """(the folder or name to load, what that is): for a run folder, the policy that it has exported.

    Raises:
        UserError: for a run that has exported none.
    """
    if path is None:
        return None, "the base of model.pretrain"
    folder = Path(path).expanduser()
    run = folder if (folder / run_folder.RUN).is_file() else folder.parent
    if not (run / run_folder.RUN).is_file():
        return path, path
    if folder == run:
        if not (run / run_folder.POLICY).is_dir() and not read_run(run).trains:
            raise UserError(f"model.path={path} is an evaluation; name the policy that it evaluated, or the run of it")
        if not (run / run_folder.POLICY).is_dir():
            raise UserError(
                f"model.path={path} is a run that has exported no policy yet; finish it with ckpt={path}, or name one "
                f"of {run}/{run_folder.POLICIES}"
            )
        folder = run / run_folder.POLICY
    finished = run_folder.finished_iterations(run)
    at = f"iteration {finished}" if folder.name == run_folder.POLICY and finished is not None else folder.name
    return str(folder), f"{at} of {run}"


def check_k(plan: EvaluationPlan, splits: Sequence[str]) -> None:
    """Refuse a k that no problem of these splits, which are sampled, has the completions for.

    A k above `eval.completions` is left out instead.

    Raises:
        UserError: naming the k that can be estimated, and how many completions the others need.
    """
    keys = {"validation": "validation_completions", "test": "test_completions"}
    drawn = {keys[split]: getattr(plan, keys[split]) for split in splits}
    most = max(drawn.values())
    if max(plan.k) <= most:
        return
    kept = ",".join(str(k) for k in plan.k if k <= most) or "1"
    more = " ".join(f"eval.{name}={max(plan.k)}" for name in drawn)
    named = f"{splits[0]} split" if len(splits) == 1 else f"{' and '.join(splits)} splits"
    raise UserError(
        f"eval.k={list(plan.k)}: a problem of the {named} gets {most} completions; try eval.k=[{kept}], or draw more: "
        f"{more}"
    )


def check_not_fewer(run: Path, plan: EvaluationPlan, prompts: Mapping[str, Sequence[Prompt]]) -> None:
    """Refuse to ask for fewer completions than a folder has: its configuration would say less than its files.

    Raises:
        UserError: naming how many there are.
    """
    for split, of_split in prompts.items():
        file = run / run_folder.SAMPLES.format(split=split)
        for result in counted(run_folder.read_chunks(file), of_split):
            asked = plan.completions_for(split, result.facts.get("dataset"))
            if result.n > asked:
                limited = asked == plan.completions
                key = "completions" if limited else f"{split}_completions"
                raise UserError(
                    f"{run} has {result.n} completions of {result.problem_id} of the {split} split already, and "
                    f"{asked} are asked for; ask for as many (eval.{key}={result.n}), or name another hydra.run.dir"
                )


def check_same_evaluation(run: Path, cfg: DictConfig, data: Mapping[str, Any], base: str | None) -> None:
    """Refuse to go on in the folder of another evaluation.

    Raises:
        UserError: naming what differs: a setting, the problems, or the weights.
    """
    before, now = (flat(tree) for tree in (run_folder.read_config(run), OmegaConf.to_container(cfg, resolve=True)))
    described = run_folder.read_json(run / run_folder.RUN)
    for key in sorted(before.keys() | now.keys()):
        free = any(is_at(key, part) for part in MAY_DIFFER) or (may_change(key) and key not in OF_A_SAMPLE)
        if not free and before.get(key) != now.get(key):
            raise UserError(
                f"{run} holds another evaluation: {key} was {before.get(key)} and is {now.get(key)} now; keep it as it "
                f"was ({key}={before.get(key)}), or name another hydra.run.dir"
            )
    for key, was, is_now in (("data", described.get("data"), dict(data)), ("weights", described.get("base"), base)):
        if was != is_now:
            raise UserError(f"{run} holds an evaluation of other {key}; name another hydra.run.dir")


def check_during_training(plan: EvaluationPlan) -> None:
    """Refuse settings that evaluations during training would not follow.

    Raises:
        UserError: naming the key and the cure.
    """
    if plan.temperature is not None:
        raise UserError(
            f"eval.temperature={plan.temperature} is for task=evaluate; set eval.sampling.temperature for the "
            "evaluations of a run"
        )
    if plan.keep != "none":
        raise UserError(f"eval.keep={plan.keep} is for task=evaluate; evaluate the policy afterwards, or leave it out")

"""`python run.py task=audit`: what objectives do in expectation, computed exactly, as a table, JSON and figures."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from rsgrpo import run_folder
from rsgrpo.analysis.audit_figures import draw_all, draw_one
from rsgrpo.analysis.audit_table import print_audit
from rsgrpo.analysis.flow_figure import draw_flow
from rsgrpo.analysis.recipe_table import print_recipe
from rsgrpo.audit import report
from rsgrpo.audit.divergence import audit_of_kl
from rsgrpo.audit.flow import audit_of_flow
from rsgrpo.audit.groups import RecipeParts
from rsgrpo.audit.mix import Mix
from rsgrpo.audit.recipe import audit_of_recipe
from rsgrpo.composition.audited_recipe import audited_parts, is_about_a_recipe, names_of_parts
from rsgrpo.composition.build import build_as
from rsgrpo.composition.choices import (
    composed_objective,
    every_objective,
    is_set,
    named_objective,
    objective_names,
    refusal,
    set_keys,
)
from rsgrpo.composition.machine import check_run_folder, set_threads
from rsgrpo.composition.settings import AuditSettings
from rsgrpo.errors import FieldError, OwnCodeFailed, UserError, field_errors_name_their_key


def audit(cfg: DictConfig) -> None:
    """Audit every objective, or the one that the command line names; with `term/kl=...`, the estimators of the KL too.

    With a word about filter, loss, batching, terms or `schedule.rescale`, the recipe of the configuration as well.

    Raises:
        UserError: when the named objective cannot be built, or refuses groups of `task.completions`; when the recipe
            cannot be enumerated.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    set_threads(cfg)
    settings = _check(cfg)
    one = is_set("objective")
    if not one:
        _check_rivals(settings)
    parts = audited_parts(cfg, settings.completions) if is_about_a_recipe() else None
    objectives = dict([named_objective(cfg)]) if one else every_objective(settings.settings)
    check_run_folder(run, resumes=False)
    audits, refused = [], {}
    for name, objective in track(objectives.items(), "enumerating", console=Console(stderr=True), transient=True):
        try:
            n = cfg.task.completions
            audits.append({"name": name, **report.audit(objective, n), "flow": audit_of_flow(objective, n)})
        except (UserError, FieldError) as error:
            if one:
                raise UserError(refusal(error, "task.completions")) from error
            refused[name] = refusal(error, "task.completions")
    content: dict[str, Any] = {"completions": cfg.task.completions, "audits": audits, "refused": refused}
    if not one:
        content["figure_2"] = _figure_2(cfg)
    if is_set("term/kl"):
        content["kl"] = audit_of_kl()
    if parts is not None:
        content["recipe"] = {"parts": names_of_parts(cfg, parts), **_recipe(parts, settings)}
    OmegaConf.save(cfg, run / run_folder.CONFIG, resolve=False)
    run_folder.write_json(run / run_folder.AUDIT, content)
    figures = [*(draw_one(run) if one else draw_all(run, rivals=list(cfg.task.rivals))), draw_flow(run)]
    console = Console()
    print_audit(run, console)
    print_recipe(run, console)
    for file in figures:
        console.print(f"figure: {file} (and .svg)", soft_wrap=True, highlight=False)
    console.print(f"run folder: {run}", soft_wrap=True, highlight=False)


def _figure_2(cfg: DictConfig) -> list[dict[str, Any]]:
    """RS-GRPO at several betas, by reward and by accuracy."""
    n = cfg.task.completions
    objectives = [(beta, composed_objective("rs_grpo", f"beta={beta}")) for beta in cfg.task.betas]
    return [
        {"beta": beta, "by_reward": report.by_reward(o, n), "by_accuracy": report.by_accuracy(o, n)}
        for beta, o in objectives
    ]


def _recipe(parts: RecipeParts, settings: AuditSettings) -> dict[str, Any]:
    """The audit of the whole recipe, for both kinds of rewards; None for graded ones where a part refuses them.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    plan, refused = parts.batching, None
    of_rewards, of_graded = _in_keys(parts, settings, settings.rewards), None
    if settings.graded is not None:
        try:
            of_graded = _in_keys(parts, settings, settings.graded)
        except OwnCodeFailed:
            raise
        except UserError as error:
            refused = str(error)
    return {
        "completions": plan.completions_per_prompt,
        "prompts_per_iteration": plan.prompts_per_iteration,
        "prompts_per_update": plan.prompts_per_update,
        **{spec.name: getattr(settings, spec.name) for spec in dataclasses.fields(Mix)},
        "of_rewards": of_rewards,
        "of_graded": of_graded,
        "graded_refused": refused,
    }


def _in_keys(parts: RecipeParts, mix: Mix, rewards: Sequence[float]) -> dict[str, Any]:
    """`audit_of_recipe`, whose refusals name the keys of this task."""
    try:
        with field_errors_name_their_key(""):
            return audit_of_recipe(parts, mix, rewards)
    except OwnCodeFailed:
        raise
    except UserError as error:
        raise UserError(refusal(error, "task.completions")) from error


def _check_rivals(settings: AuditSettings) -> None:
    known = [*objective_names(), *(" ".join(setting.split()) for setting in settings.settings)]
    unknown = [name for name in settings.rivals if name not in known]
    if unknown:
        raise UserError(f"task.rivals: {unknown[0]} is not an objective; choose from {', '.join(sorted(known))}")


def _check(cfg: DictConfig) -> AuditSettings:
    if set_keys("schedule") - {"schedule.rescale"}:
        raise UserError("task=audit looks at one value at a time; leave the schedule out and give objective.beta or k")
    if is_set("shaping") or is_set("correction"):
        what = "shaping" if is_set("shaping") else "correction"
        raise UserError(f"task=audit has whole answers, and {what} weighs their tokens; leave {what} out")
    return build_as(cfg, "task", AuditSettings)

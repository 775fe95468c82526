"""The sections that make a training recipe -> the recipe, each checked before the run asks it for anything."""

from typing import Any

from omegaconf import DictConfig

from rsgrpo.composition.build import build, build_callable
from rsgrpo.composition.members import check_members
from rsgrpo.composition.reward import build_reward, in_place_of
from rsgrpo.errors import UserError, failures_name_their_place, field_errors_name_their_key
from rsgrpo.terms.base import Term
from rsgrpo.training.combinations import refuse_contradictions
from rsgrpo.training.recipe import Recipe

RECIPE_GROUPS = (
    *("objective", "schedule", "loss", "correction", "shaping", "filter", "order"),
    *("batching", "sampling", "optimizer"),
)


def build_recipe(cfg: DictConfig) -> Recipe:
    """The training recipe of a configuration.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    parts: dict[str, Any] = {name: build(cfg, name) for name in RECIPE_GROUPS if name != "filter"}
    parts["filter"] = build_callable(cfg, "filter", arguments=1)
    if not callable(getattr(parts["objective"], "advantages", None)):
        raise UserError(
            f"objective._target_={cfg.objective._target_} has no method advantages(rewards, context); "
            "inherit from rsgrpo.objectives.base.Objective"
        )
    reward, evaluation = in_place_of(build_reward(cfg), cfg), build(cfg, "eval")
    for group, made in {**parts, "eval": evaluation}.items():
        check_members(cfg, group, made)
    parts["terms"] = build_terms(cfg)
    with failures_name_their_place("schedule", parts["schedule"], "check"):
        parts["schedule"].check(parts["objective"], parts["batching"].completions_per_prompt, parts["loss"])
    with field_errors_name_their_key(""):
        recipe = Recipe(**parts, reward=reward, evaluation=evaluation, iterations=cfg.iterations, seed=cfg.seed)
        refuse_contradictions(recipe)
    return recipe


def build_terms(cfg: DictConfig) -> dict[str, Term]:
    """The terms of `term`, by name.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    terms: dict[str, Term] = {}
    for name in cfg.get("term") or {}:
        node = cfg.term[name]
        if not isinstance(node, DictConfig) or "_target_" not in node:
            ours = {"kl": "+term/kl=k3, or ", "entropy": "+term/entropy=bonus, or "}.get(str(name), "")
            raise UserError(f"term.{name} names no term; choose one with {ours}+term.{name}._target_=my_module.MyTerm")
        term = build(cfg.term, str(name))
        if not isinstance(term, Term):
            raise UserError(
                f"term.{name}._target_={cfg.term[name]._target_} is not a term; inherit from rsgrpo.terms.base.Term"
            )
        terms[str(name)] = term
    return terms

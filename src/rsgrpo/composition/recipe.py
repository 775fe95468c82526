"""The sections that make a training recipe -> the recipe, each checked before the run asks it for anything."""

from dataclasses import fields
from typing import Any

from omegaconf import DictConfig

from rsgrpo.batching.filters import GroupFilter
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.composition.build import build, build_callable
from rsgrpo.composition.reward import build_reward
from rsgrpo.data.source import DataSource
from rsgrpo.errors import UserError, failures_name_their_place, field_errors_name_their_key
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.losses.base import Loss
from rsgrpo.rewards.base import Reward
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.schedules.base import Schedule
from rsgrpo.training.optimizer import AdamW
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Sampling

RECIPE_GROUPS = ("objective", "schedule", "loss", "filter", "batching", "sampling", "optimizer")

MEMBERS: dict[str, tuple[type, tuple[str, ...]]] = {
    "schedule": (Schedule, ("check", "in_force", "observe", "state_dict", "load_state_dict")),
    "loss": (Loss, ("__call__", "aggregation")),
    "filter": (GroupFilter, ("__call__",)),
    "reward": (Reward, ("__call__",)),
    "data": (DataSource, ("max_prompt_tokens", "split", "removed")),
    "rollout": (RolloutEngine, ("generate", "load_policy", "parity", "make_room", "close")),
    **{
        group: (kind, tuple(spec.name for spec in fields(kind)))
        for group, kind in (
            *(("batching", BatchPlan), ("sampling", Sampling)),
            *(("optimizer", AdamW), ("eval", EvaluationPlan)),
        )
    },
}
"""What the run asks of the object that a group configures, which may be of a class of the user's own."""


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
    reward, evaluation = build_reward(cfg), build(cfg, "eval")
    for group, made in {**parts, "eval": evaluation}.items():
        check_members(cfg, group, made)
    with failures_name_their_place("schedule", parts["schedule"], "check"):
        parts["schedule"].check(parts["objective"], parts["batching"].completions_per_prompt, parts["loss"])
    with field_errors_name_their_key(""):
        return Recipe(**parts, reward=reward, evaluation=evaluation, iterations=cfg.iterations, seed=cfg.seed)


def check_members(cfg: DictConfig, group: str, made: Any) -> None:
    """Refuse an object of another kind than its group is made of, before the run asks it for what it does not have.

    Raises:
        UserError: naming the class and what it lacks.
    """
    _refuse_lack(cfg, group, [name for name in MEMBERS.get(group, (object, ()))[1] if not hasattr(made, name)])


def _refuse_lack(cfg: DictConfig, group: str, lacking: list[str]) -> None:
    kind, members = MEMBERS.get(group, (object, ()))
    if lacking:
        raise UserError(
            f"{group}._target_={cfg[group]._target_} has no {lacking[0]}; give it all of "
            f"{kind.__module__}.{kind.__qualname__}: {', '.join(members)}"
        )


def check_methods(cfg: DictConfig, group: str, factory: Any) -> None:
    """Refuse a class that lacks a method of its group, before there is an object of it.

    Raises:
        UserError: naming the class and what it lacks.
    """
    cls = getattr(factory, "func", None)
    if isinstance(cls, type) and not hasattr(cls, "__getattr__"):
        kind, members = MEMBERS[group]
        methods = [name for name in members if callable(getattr(kind, name, None))]
        _refuse_lack(cfg, group, [name for name in methods if not hasattr(cls, name)])

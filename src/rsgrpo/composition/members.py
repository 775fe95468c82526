"""What a run asks of the object that a group configures, which may be of a class of the user's own."""

import inspect
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig

from rsgrpo.batching.filters import GroupFilter
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.corrections.base import Correction
from rsgrpo.data.order import Order
from rsgrpo.data.source import DataSource
from rsgrpo.errors import UserError
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.losses.base import Loss
from rsgrpo.rewards.base import Reward
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.schedules.base import Schedule
from rsgrpo.shaping.base import Shaping
from rsgrpo.training.optimizer import Optimizer
from rsgrpo.types import Sampling

MEMBERS: dict[str, tuple[type, tuple[str, ...]]] = {
    "schedule": (Schedule, ("check", "in_force", "observe", "state_dict", "load_state_dict")),
    "loss": (Loss, ("__call__", "aggregation")),
    "correction": (Correction, ("__call__", "for_engine")),
    "shaping": (Shaping, ("__call__", "off", "added_loss")),
    "filter": (GroupFilter, ("__call__",)),
    "order": (Order, ("places", "observe", "state_dict", "load_state_dict")),
    "reward": (Reward, ("__call__",)),
    "data": (DataSource, ("max_prompt_tokens", "split", "removed")),
    "rollout": (RolloutEngine, ("generate", "load_policy", "parity", "make_room", "close")),
    **{
        group: (kind, tuple(spec.name for spec in fields(kind)))
        for group, kind in (
            *(("batching", BatchPlan), ("sampling", Sampling)),
            *(("optimizer", Optimizer), ("eval", EvaluationPlan)),
        )
    },
}
"""What the run asks of the object that a group configures, which may be of a class of the user's own."""


def check_members(cfg: DictConfig, group: str, made: Any) -> None:
    """Refuse an object of another kind than its group is made of, before the run needs a member that it lacks.

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


def settings_of(made: object) -> list[str]:
    """The names of the arguments that the class of an object takes."""
    return list(inspect.signature(type(made)).parameters)


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

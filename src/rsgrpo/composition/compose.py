"""Configuration -> objects. Every message for a user's mistake is made here or in the class that refuses the value."""

import inspect
import re
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, cast

from hydra._internal.utils import _locate
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rsgrpo.batching.filters import GroupFilter
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.command_line.keys import shown
from rsgrpo.composition.targets import unknown_target
from rsgrpo.data.source import DataSource
from rsgrpo.errors import FieldError, UserError, failures_name_their_place, field_errors_name_their_key, keyed
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.fields import check_arguments, check_values
from rsgrpo.losses.base import Loss
from rsgrpo.rewards.base import Reward
from rsgrpo.rewards.isolated import IsolatedReward
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.schedules.base import Schedule
from rsgrpo.training.optimizer import AdamW
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Sampling

T = TypeVar("T")

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


def build_reward(cfg: DictConfig) -> Reward:
    """The reward of a configuration, in which a `_target_` may also be a plain function (prompt, completion) -> Score.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    cfg = cast(DictConfig, OmegaConf.create({"reward": OmegaConf.to_container(cfg.reward, resolve=True)}))
    isolated = _prepare(cfg, "reward")
    try:
        reward = build(cfg, "reward")
        check_members(cfg, "reward", reward)
    except UserError as error:
        words = str(error)
        for key in isolated:  # the user knows nothing of the class around his own
            settings = re.compile(rf"\b{re.escape(key)}\.(?:reward([.:])|(timeout_s|memory_gib|workers)\b)")
            words = settings.sub(lambda m, key=key: key + (m[1] or f".isolation.{m[2]}"), words)
        raise UserError(words) from error
    return reward


def _prepare(parent: DictConfig, name: str) -> list[str]:
    """Keep functions, which Hydra would call, and put what asks for it by `isolated: true` into worker processes.

    Returns:
        The keys of the isolated rewards, outer ones last.
    """
    node = parent[name]
    if not isinstance(node, DictConfig):
        return []
    children = [child for child in node if not OmegaConf.is_missing(node, child)]
    isolated = [key for child in children for key in _prepare(node, str(child))]
    key = node._get_full_key(None)
    asked = "isolated" in node
    isolates, isolation = node.pop("isolated", False), node.pop("isolation", {})
    if not isinstance(isolates, bool):
        raise UserError(f"{key}.isolated={isolates} must be true or false; try {key}.isolated=true")
    _check_isolation(isolation, f"{key}.isolation")
    idle = [] if isolates else [name for name, value in isolation.items() if value != ISOLATION[str(name)]]
    if idle:
        raise UserError(
            f"{key}.isolation.{idle[0]}={shown(isolation[idle[0]])} means nothing without workers of its own; add "
            f"{'' if asked else '+'}{key}.isolated=true, or leave it out"
        )
    keep_function(node, arguments=2)
    if isolates:
        parent[name] = {"_target_": "rsgrpo.rewards.isolated.IsolatedReward", "reward": node, **isolation}
        isolated.append(key)
    return isolated


ISOLATION = {spec.name: spec.default for spec in fields(IsolatedReward) if spec.init and spec.name != "reward"}
"""The settings of isolation, as they are when nothing is said."""


def _check_isolation(isolation: Any, key: str) -> None:
    if not isinstance(isolation, DictConfig | dict):
        raise UserError(f"{key}={shown(isolation)}: it has keys of its own; try {key}.timeout_s=10")
    unknown = next((str(name) for name in isolation if name not in ISOLATION), None)
    if unknown is not None:
        raise UserError(f"{key}.{unknown}: no such key, {key} has {', '.join(ISOLATION)}; remove {key}.{unknown}")


def keep_function(node: DictConfig, *, arguments: int) -> None:
    """Hydra calls what `_target_` names: a function is wanted itself, with the settings after its first `arguments`."""
    target = None if OmegaConf.is_missing(node, "_target_") else node.get("_target_")
    if inspect.isfunction(found := located(target)):
        node["_partial_"] = True
        takes = list(inspect.signature(found).parameters)[arguments:]
        for name in node:
            if name not in ("_target_", "_partial_", *takes):
                settings = f"has the settings {', '.join(takes)}" if takes else "has no settings"
                raise UserError(
                    f"{node._get_full_key(name)}: {found.__name__} {settings}; mend the name, or leave it out"
                )


def build(cfg: DictConfig, key: str) -> Any:
    """The object of `cfg[key]`.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    node = cfg.get(key)
    if not isinstance(node, DictConfig):
        full_key = cfg._get_full_key(key)
        raise UserError(f"{full_key}={shown(node)}: {full_key} has keys of its own, set those: leave this out")
    missing = sorted(OmegaConf.missing_keys(node))
    if missing:
        raise UserError(f"{missing[0]} is not set; give it on the command line: {missing[0]}=...")
    if "_target_" not in node:
        raise UserError(f"{cfg._get_full_key(key)}._target_ is missing, which names its class; leave it as it is")
    _check_targets(node)
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        raise UserError(_explain(error, cfg._get_full_key(key))) from error


def build_callable(cfg: DictConfig, key: str, *, arguments: int) -> Any:
    """The object of `cfg[key]`, or the function itself where `_target_` names one, which Hydra would call.

    Args:
        arguments: what the run calls the function with; those after them are its settings.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    node = cfg.get(key)
    named = isinstance(node, DictConfig) and not OmegaConf.is_missing(node, "_target_")
    if not named or not inspect.isfunction(located(node.get("_target_"))):
        return build(cfg, key)
    place = node._get_full_key("")
    kept = OmegaConf.create({})  # under the same keys, which messages name
    OmegaConf.update(kept, place, OmegaConf.to_container(node, resolve=True))
    node = OmegaConf.select(kept, place)
    keep_function(node, arguments=arguments)
    return build(node._get_parent(), key)


def build_as(cfg: DictConfig, key: str, cls: type[T], *, without: Collection[str] = ()) -> T:
    """The keys of a section that names no class as a `cls`, which checks them; `without` those that others read.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    node = cfg.get(key)
    if not isinstance(node, DictConfig):
        raise UserError(f"{key}={shown(node)}: {key} has keys of its own, set those: leave this out")
    resolved = cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
    given = {name: value for name, value in resolved.items() if name not in ("_target_", *without)}
    return build(OmegaConf.create({key: {**given, "_target_": f"{cls.__module__}.{cls.__qualname__}"}}), key)


def check_partial(factory: Any, key: str) -> None:
    """Check the settings of a class that is called later with what it lacks, as far as they alone can be wrong.

    Raises:
        UserError: for an argument that it does not take, or a value that is not of its field's type.
    """
    cls, given = getattr(factory, "func", None), getattr(factory, "keywords", {})
    if cls is None:
        return
    try:
        inspect.signature(cls).bind_partial(**given)
    except TypeError as error:
        raise UserError(_refused_argument(str(error), key) or f"{key}: {error}") from None
    if is_dataclass(cls) and isinstance(cls, type):
        with field_errors_name_their_key(key):
            check_values(cls, given, **getattr(cls, "BOUNDS", {}))


def _check_targets(node: DictConfig) -> None:
    """Hold the settings of every class below a node to its signature, where it is no dataclass that checks itself.

    Raises:
        UserError: naming the key of the first that is not of its type, or the name of a class that is none.
    """
    target = node.get("_target_")
    if target is not None and (not isinstance(target, str) or not target):
        raise UserError(
            f"{node._get_full_key('_target_')}={shown(target)} must name a class; try "
            f"{node._get_full_key('_target_')}=my_module.MyClass"
        )
    for name in node:
        if not OmegaConf.is_missing(node, name) and isinstance(node[name], DictConfig):
            _check_targets(node[name])
    cls = located(target)
    if cls is None or is_dataclass(cls):
        return
    plain = {
        str(name): node[name] for name in node if not (isinstance(node[name], DictConfig) and "_target_" in node[name])
    }
    given = {n: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for n, v in plain.items() if n[0] != "_"}
    try:
        check_arguments(cls, given)
    except FieldError as error:
        raise UserError(keyed(error, node._get_full_key(""))) from error


def located(target: str | None) -> Any:
    """The class or function of that name; None where there is none, which whoever instantiates it says."""
    try:
        found = None if target is None else _locate(target)  # get_object would also print
        return found if found is not None and inspect.signature(found) else None
    except Exception:
        return None


def _explain(error: InstantiationException, key: str) -> str:
    """One sentence out of Hydra's exception: the full key, what is wrong, the cure."""
    found = re.search(r"full_key: (\S+)", str(error))
    full_key, cause = found[1] if found else key, error.__cause__
    if cause is None and "Error locating target" not in str(error):
        return f"{full_key}: {shown(str(error).splitlines()[0])}; name a class of your own or of rsgrpo"
    if isinstance(cause, FieldError):
        return keyed(cause, full_key)
    if isinstance(cause, UserError):
        return str(cause)
    if isinstance(cause, TypeError) and (said := _refused_argument(str(cause), full_key)):
        return said
    if "Error locating target" in str(error):
        target = re.search(r"Error locating target '([^']+)'", str(error))
        return unknown_target(f"{full_key}._target_", target[1] if target else "?")
    return f"{full_key}: {shown(' '.join(f'{type(cause).__name__}: {cause}'.split()))}"


def _refused_argument(said: str, full_key: str) -> str | None:
    """What Python says of an argument too many or too few, in keys."""
    if unexpected := re.search(r"unexpected keyword argument '([^']+)'", said):
        key = f"{full_key}.{unexpected[1]}"
        return f"{key}: the class takes no such argument; remove {key}"
    if lacking := re.search(r"missing \d+ required \S+ arguments?: '([^']+)'", said):
        return f"{full_key}.{lacking[1]} is not set; give it on the command line: {full_key}.{lacking[1]}=..."
    return None

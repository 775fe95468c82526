"""Configuration -> objects. Every message for a user's mistake is made here or in the class that refuses the value."""

import inspect
import re
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from rsgrpo.rewards.base import Reward
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import FieldError, UserError, field_errors_name_their_key, keyed

RECIPE_GROUPS = ("objective", "schedule", "loss", "filter", "batching", "sampling", "optimizer")


def build_recipe(cfg: DictConfig) -> Recipe:
    """The training recipe of a configuration.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    parts: dict[str, Any] = {name: build(cfg, name) for name in RECIPE_GROUPS}
    if not callable(getattr(parts["objective"], "advantages", None)):
        raise UserError(
            f"objective._target_={cfg.objective._target_} has no method advantages(rewards, context); "
            "inherit from rsgrpo.objectives.base.Objective"
        )
    parts["schedule"].check(parts["objective"], parts["batching"].completions_per_prompt)
    with field_errors_name_their_key(""):
        return Recipe(
            **parts, reward=build_reward(cfg), evaluation=build(cfg, "eval"), iterations=cfg.iterations, seed=cfg.seed
        )


def build_reward(cfg: DictConfig) -> Reward:
    """The reward of a configuration, in which a `_target_` may also be a plain function (prompt, completion) -> Score.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    cfg = cast(DictConfig, OmegaConf.create({"reward": OmegaConf.to_container(cfg.reward, resolve=True)}))
    isolated = _prepare(cfg, "reward")
    try:
        return build(cfg, "reward")
    except UserError as error:
        words = str(error)
        for key in isolated:  # the user knows nothing of the class around his own
            settings = re.compile(rf"\b{re.escape(key)}\.(?:reward([.:])|(timeout_s|memory_gib|workers)\b)")
            words = settings.sub(lambda m, key=key: key + (m[1] or f".isolation.{m[2]}"), words)
        raise UserError(words) from error


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
    isolates, isolation = node.pop("isolated", False), node.pop("isolation", {})
    if not isinstance(isolates, bool):
        raise UserError(f"{key}.isolated={isolates} must be true or false; try {key}.isolated=true")
    _keep_function(node)
    if isolates:
        parent[name] = {"_target_": "rsgrpo.rewards.isolated.IsolatedReward", "reward": node, **isolation}
        isolated.append(key)
    return isolated


def _keep_function(node: DictConfig) -> None:
    """Hydra calls what `_target_` names: a function is wanted itself, with its settings filled in."""
    target = None if OmegaConf.is_missing(node, "_target_") else node.get("_target_")
    try:
        found = None if target is None else get_object(target)
    except Exception:
        return  # whoever instantiates it says what is wrong with the name
    if inspect.isfunction(found):
        node["_partial_"] = True
        takes = list(inspect.signature(found).parameters)[2:]
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
    missing = sorted(OmegaConf.missing_keys(cfg[key]))
    if missing:
        raise UserError(f"{missing[0]} is not set; give it on the command line: {missing[0]}=...")
    try:
        return instantiate(cfg[key], _convert_="all")
    except InstantiationException as error:
        raise UserError(_explain(error, key)) from error


def _explain(error: InstantiationException, key: str) -> str:
    """One sentence out of Hydra's exception: the full key, what is wrong, the cure."""
    found = re.search(r"full_key: (\S+)", str(error))
    full_key, cause = found[1] if found else key, error.__cause__
    if isinstance(cause, FieldError):
        return keyed(cause, full_key)
    if isinstance(cause, UserError):
        return str(cause)
    unexpected = re.search(r"unexpected keyword argument '(\w+)'", str(cause))
    if unexpected:
        return f"{full_key}.{unexpected[1]}: the class takes no such argument; remove {full_key}.{unexpected[1]}"
    if "Error locating target" in str(error):
        target = re.search(r"Error locating target '([^']+)'", str(error))
        return (
            f"{full_key}._target_={target[1] if target else '?'} cannot be imported; check its name, and that its "
            "folder is on PYTHONPATH"
        )
    return f"{full_key}: {type(cause).__name__}: {cause}"

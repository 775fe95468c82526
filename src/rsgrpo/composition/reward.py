"""`reward`: a class or a plain function, in worker processes where it is asked for."""

import re
from dataclasses import fields
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from rsgrpo.command_line.keys import shown
from rsgrpo.composition.build import build, check_partial, keep_function
from rsgrpo.composition.members import check_members
from rsgrpo.errors import UserError, field_errors_name_their_key
from rsgrpo.rewards.base import Reward
from rsgrpo.rewards.isolated import IsolatedReward


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
        for key in isolated:  # the user does not know of the class around their own
            settings = re.compile(rf"\b{re.escape(key)}\.(?:reward([.:])|(timeout_s|memory_gib|workers)\b)")
            words = settings.sub(lambda m, key=key: key + (m[1] or f".isolation.{m[2]}"), words)
        words = re.sub(r"\b(reward(?:\.\w+)*)\.rewards\.NAME=\.\.\.", r"+reward@\1.rewards.NAME=CHOICE", words)
        raise UserError(words, **error.fields) from error
    return reward


def in_place_of(reward: Reward, cfg: DictConfig) -> Reward:
    """The reward that is trained on: that of `spurious`, which keeps the verdicts of `reward`, or `reward` itself.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    if cfg.get("spurious") is None:
        return reward
    make = build(cfg, "spurious")
    check_partial(make, "spurious")
    with field_errors_name_their_key("spurious"):
        return make(reward=reward)


def _prepare(parent: DictConfig, name: str) -> list[str]:
    """Keep functions, which Hydra would call, and put rewards with `isolated: true` into worker processes.

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
"""The settings of isolation, with their defaults."""


def _check_isolation(isolation: Any, key: str) -> None:
    if not isinstance(isolation, DictConfig | dict):
        raise UserError(f"{key}={shown(isolation)}: it has keys of its own; try {key}.timeout_s=10")
    unknown = next((str(name) for name in isolation if name not in ISOLATION), None)
    if unknown is not None:
        raise UserError(f"{key}.{unknown}: no such key, {key} has {', '.join(ISOLATION)}; remove {key}.{unknown}")

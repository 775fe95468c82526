"""Configuration -> objects. Every message for a user's mistake is made here or in the class that refuses the value."""

import re
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rsgrpo.training.recipe import Recipe
from rsgrpo.types import FieldError, UserError, field_errors_name_their_key, keyed

RECIPE_GROUPS = ("objective", "schedule", "loss", "filter", "reward", "batching", "sampling", "optimizer")


def build_recipe(cfg: DictConfig) -> Recipe:
    """The training recipe of a configuration.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    parts = {name: build(cfg, name) for name in RECIPE_GROUPS}
    if not callable(getattr(parts["objective"], "advantages", None)):
        raise UserError(
            f"objective._target_={cfg.objective._target_} has no method advantages(rewards, context); "
            "inherit from rsgrpo.objectives.base.Objective"
        )
    parts["schedule"].check(parts["objective"], parts["batching"].completions_per_prompt)
    with field_errors_name_their_key(""):
        return Recipe(**parts, evaluation=build(cfg, "eval"), iterations=cfg.iterations, seed=cfg.seed)


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

"""`callbacks`: Lightning callbacks, and metrics, which are plain functions that one callback calls."""

from typing import Protocol, cast, runtime_checkable

import lightning
from omegaconf import DictConfig

from rsgrpo.callbacks.metrics import StepMetrics
from rsgrpo.command_line.arguments import words_of_job
from rsgrpo.command_line.keys import add_callback, shown
from rsgrpo.composition.build import build_callable
from rsgrpo.errors import UserError, field_errors_name_their_key
from rsgrpo.metrics.base import Metric
from rsgrpo.training.recipe import Recipe


@runtime_checkable
class ChecksRecipe(Protocol):
    """A callback with settings that fit some recipes only."""

    def check(self, recipe: Recipe) -> None:
        """Refuse settings that do not fit.

        Raises:
            FieldError: naming the setting.
        """
        ...


def build_callbacks(cfg: DictConfig, recipe: Recipe) -> list[lightning.Callback]:
    """The callbacks of a configuration, the one that calls all metrics first, so that the others find them logged.

    Raises:
        UserError: for an entry that is neither a callback nor a function, or whose settings do not fit the recipe.
    """
    callbacks: dict[str, lightning.Callback] = {}
    metrics: dict[str, Metric] = {}
    for name in (str(name) for name, entry in cfg.callbacks.items() if entry):
        if not isinstance(cfg.callbacks[name], DictConfig):
            word = f"callbacks.{name}={shown(cfg.callbacks[name])}"
            plus = "+" if any(given.startswith(f"+callbacks.{name}=") for given in words_of_job()) else ""
            cure = add_callback(name, str(cfg.callbacks[name]), plus=plus)
            raise UserError(f"{word}: an entry of callbacks has keys of its own; {cure}")
        made = build_callable(cfg.callbacks, name, arguments=1)
        if isinstance(made, lightning.Callback):
            callbacks[name] = made
        elif callable(made):
            metrics[name] = cast(Metric, made)
        else:
            target = f"callbacks.{name}._target_"
            raise UserError(
                f"{target}={cfg.callbacks[name]._target_} is neither a lightning.Callback nor a function of a "
                f"StepReport; make it one of them, or remove {target}"
            )
    for name, callback in callbacks.items():
        if isinstance(callback, ChecksRecipe):
            with field_errors_name_their_key(f"callbacks.{name}"):
                callback.check(recipe)
    return [*([StepMetrics(metrics)] if metrics else []), *callbacks.values()]

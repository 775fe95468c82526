"""Which objectives a task is about: the one that the command line names, or every choice of `objective=`."""

from collections.abc import Iterable

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from rsgrpo.command_line.arguments import words_of_job
from rsgrpo.command_line.own_names import in_keys
from rsgrpo.composition.build import build
from rsgrpo.errors import FieldError, UserError, keyed
from rsgrpo.objectives.base import Objective

OWN = "custom"
"""The choice that stands for a class of the user's: taken when it is named."""


def is_set(key: str) -> bool:
    """Whether the command line sets this key, or the group of that name."""
    return bool(set_keys(key))


def set_keys(key: str) -> set[str]:
    """What the command line sets of this key, or of the group of that name: `schedule`, `schedule.rescale`."""
    given = {word.lstrip("+~").split("=")[0] for word in words_of_job()}
    return {word for word in given if word == key or word.startswith(f"{key}.")}


def named_objective(cfg: DictConfig) -> tuple[str, Objective]:
    """The objective of the configuration under the word that chose it; a user's own under the name of its class."""
    objective, name = build(cfg, "objective"), HydraConfig.get().runtime.choices["objective"]
    return cfg.objective._target_.rpartition(".")[2] if name == OWN else name, objective


def every_objective(settings: Iterable[str]) -> dict[str, Objective]:
    """Each choice of `objective=` with its defaults, followed by its `settings`: "rs_grpo estimator=loo".

    Raises:
        UserError: when a setting begins with no objective.
    """
    words = [words for setting in settings if (words := str(setting).split())]
    choices = objective_names()
    unknown = sorted({first for first, *_ in words} - set(choices))
    if unknown:
        raise UserError(f"task.settings: {unknown[0]} is not an objective; choose from {', '.join(choices)}")
    objectives = {}
    for choice in choices:
        for chosen in ([choice], *(setting for setting in words if setting[0] == choice)):
            try:
                objectives[" ".join(chosen)] = composed_objective(*chosen)
            except HydraException as error:
                raise UserError(f"task.settings: {' '.join(chosen[1:])} is not a setting of {choice}") from error
            except UserError as error:
                raise UserError(f"task.settings: {in_keys(error)}") from error
    return objectives


def objective_names() -> list[str]:
    """The choices of `objective=`, without the one that stands for a class of the user's."""
    return [name for name in GlobalHydra.instance().config_loader().get_group_options("objective") if name != OWN]


def composed_objective(choice: str, *settings: str) -> Objective:
    """The objective as `python run.py objective=choice objective.setting=...` would build it."""
    overrides = [f"objective={choice}", *(f"objective.{setting}" for setting in settings)]
    return build(hydra.compose("config", overrides), "objective")


def refusal(error: UserError | FieldError, group_size: str) -> str:
    """What an objective refused, in the keys of a task whose groups have another size than those of training."""
    said = UserError(keyed(error, "objective"), **error.fields) if isinstance(error, FieldError) else error
    return in_keys(said).replace("batching.completions_per_prompt", group_size)

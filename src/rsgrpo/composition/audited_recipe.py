"""The parts of a configuration that the audit of a whole recipe looks at."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rsgrpo.audit.groups import RecipeParts
from rsgrpo.composition.build import build, build_callable
from rsgrpo.composition.choices import OWN, is_set
from rsgrpo.composition.members import check_members
from rsgrpo.composition.recipe import build_terms
from rsgrpo.errors import UserError
from rsgrpo.schedules.constant import Constant

ASK_FOR_IT = (
    *("filter", "loss", "batching", "term", "term/kl", "term/entropy", "schedule.rescale"),
    *("task.accuracies", "task.probabilities", "task.tokens", "task.rewards", "task.graded", "task.reference"),
    "task.kl",
)
"""Keys and groups that a command line sets where it is about more than an objective."""


def is_about_a_recipe() -> bool:
    """Whether the command line sets anything that an objective alone has not."""
    return any(is_set(key) for key in ASK_FOR_IT)


def audited_parts(cfg: DictConfig, completions: int) -> RecipeParts:
    """The parts of the recipe, in groups of `completions`.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    of_batching = cfg.batching.completions_per_prompt
    if is_set("batching.completions_per_prompt") and of_batching != completions:
        raise UserError(
            f"batching.completions_per_prompt={of_batching} differs from task.completions={completions}, the size of "
            f"the groups that are enumerated; give task.completions={of_batching}"
        )
    parts: dict[str, Any] = {name: build(cfg, name) for name in ("objective", "schedule", "loss", "batching")}
    parts["filter"] = build_callable(cfg, "filter", arguments=1)
    for group, made in parts.items():
        check_members(cfg, group, made)
    if not isinstance(parts["schedule"], Constant):
        raise UserError("task=audit looks at one value at a time; use schedule=constant and give objective.beta or k")
    parts["batching"] = replace(parts["batching"], completions_per_prompt=completions)
    return RecipeParts(**parts, terms=build_terms(cfg))


def names_of_parts(cfg: DictConfig, parts: RecipeParts) -> dict[str, str]:
    """What each part of the recipe is called on the command line; a class of the user's by its own name."""
    choices = HydraConfig.get().runtime.choices
    terms = [f"{name}={_name(cfg.term[name], choices.get(f'term/{name}'), (None, 'none'))}" for name in parts.terms]
    named = {group: _name(cfg[group], choices[group], (OWN,)) for group in ("objective", "filter", "loss")}
    return {
        "objective": named["objective"],
        "rescale": parts.schedule.rescale,
        "filter": named["filter"],
        "aggregation": parts.loss.aggregation,
        "loss": named["loss"],
        "terms": ", ".join(terms) or "none",
    }


def _name(node: DictConfig, choice: str | None, says_nothing: Sequence[str | None]) -> str:
    return node._target_.rpartition(".")[2] if choice is None or choice in says_nothing else choice

"""Reinforcement learning of language models with any objective; see docs/library.md for its use from Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsgrpo.fitting import evaluate as evaluate
    from rsgrpo.fitting import fit as fit
    from rsgrpo.models.policy import Policy as Policy
    from rsgrpo.training.recipe import Recipe as Recipe

FROM = {
    "fit": "rsgrpo.fitting",
    "evaluate": "rsgrpo.fitting",
    "Policy": "rsgrpo.models.policy",
    "Recipe": "rsgrpo.training.recipe",
}
"""Where the package's own names come from: each is imported when it is asked for, and no trainer before."""


def __getattr__(name: str) -> Any:
    if name not in FROM:
        raise AttributeError(f"module 'rsgrpo' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(FROM[name]), name)

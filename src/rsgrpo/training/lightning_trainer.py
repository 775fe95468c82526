"""Lightning's trainer for a recipe: what every run tells it, however it is configured."""

import math
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning
from lightning.pytorch.callbacks import Checkpoint

from rsgrpo.errors import FieldError, UserError, failures_name_their_place, is_ours
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import ScoredGroup


@runtime_checkable
class SeesCompletions(Protocol):
    """A callback that looks at the completions of evaluations."""

    def on_evaluated(self, split: str, iteration: int, place: int, scored: ScoredGroup) -> None:
        """One problem of `split` with its completions and scores, on the rank that sampled it, as soon as it is scored.

        `place` is its number in the split; those of one rank come in any order.
        """
        ...


def lightning_trainer(
    recipe: Recipe, folder: Path, callbacks: Sequence[lightning.Callback], logger: Any, **settings: Any
) -> lightning.Trainer:
    """A trainer that leaves to `RLModule` what Lightning would otherwise do by itself.

    The module ends the run, and knows which split is due when Lightning asks for a validation, if `limit_val_batches`
    says that there is something to validate on, which is not known yet.

    Args:
        settings: devices, strategy, precision and whatever else Lightning takes.
    """
    return lightning.Trainer(
        **settings,
        max_epochs=-1,
        logger=logger,
        callbacks=list(callbacks),
        val_check_interval=math.gcd(recipe.evaluation.every, recipe.evaluation.test_every or 0),
        check_val_every_n_epoch=None,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        inference_mode=False,  # gathered weights that are inference tensors could not be trained
        enable_progress_bar=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),  # else Lightning's own
        enable_model_summary=False,
        default_root_dir=folder,
    )


@contextmanager
def failures_name_their_callback(trainer: lightning.Trainer) -> Iterator[None]:
    """Turn what a callback or a logger of the user's raises while Lightning calls it into one sentence.

    Raises:
        OwnCodeFailed: naming class, method, exception, file and line.
    """
    try:
        yield
    except (UserError, FieldError):
        raise
    except Exception as error:
        loggers: list[Any] = trainer.loggers
        groups = {"callbacks": [*trainer.callbacks], "logger": loggers}  # pyright: ignore[reportAttributeAccessIssue]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            first = frame.f_code.co_varnames[:1] if frame.f_code.co_argcount else ()
            owner = frame.f_locals.get(first[0]) if first else None
            for group, parts in groups.items():
                if any(owner is part for part in parts) and not is_ours(owner):
                    with failures_name_their_place(group, owner, frame.f_code.co_name):
                        raise
        raise

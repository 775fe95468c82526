"""Lightning's trainer for a recipe: what every run tells it, however it is configured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint

from rsgrpo.training.recipe import Recipe


def lightning_trainer(
    recipe: Recipe, folder: Path, callbacks: Sequence[lightning.Callback], logger: Any, **settings: Any
) -> lightning.Trainer:
    """A trainer that leaves to `RLModule` what Lightning would otherwise do by itself.

    The module ends the run; validation comes every few iterations, if `limit_val_batches` says that there is
    something to validate on, which is not known yet.

    Args:
        settings: devices, strategy, precision and whatever else Lightning takes.
    """
    return lightning.Trainer(
        **settings,
        max_epochs=-1,
        logger=logger,
        callbacks=list(callbacks),
        val_check_interval=recipe.evaluation.every,
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

"""Resumable checkpoints: written whole or not at all."""

import os
from pathlib import Path

import lightning

from rsgrpo import run_folder


def save(trainer: lightning.Trainer, run: Path, iteration: int, *, keep: int) -> Path:
    """Write the checkpoint of `iteration` under a temporary name, rename it, and keep the newest `keep`."""
    path = run_folder.checkpoint(run, iteration)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".unfinished")
    trainer.save_checkpoint(temporary)
    os.replace(temporary, path)
    for old in run_folder.checkpoints(run)[:-keep]:
        old.unlink()
    return path

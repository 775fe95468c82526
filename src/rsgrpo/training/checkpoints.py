"""Resumable checkpoints: written whole or not at all, found again by run folder."""

import os
import re
from pathlib import Path

import lightning

from rsgrpo import run_folder
from rsgrpo.types import UserError

_NAME = re.compile(r"iteration_(\d+)\.ckpt")


def save(trainer: lightning.Trainer, run: Path, iteration: int, *, keep: int) -> Path:
    """Write the checkpoint of `iteration` under a temporary name, rename it, and keep the newest `keep`."""
    folder = run / run_folder.CHECKPOINTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"iteration_{iteration:06d}.ckpt"
    temporary = path.with_suffix(".unfinished")
    trainer.save_checkpoint(temporary)
    os.replace(temporary, path)
    for old in _all(run)[:-keep]:
        old.unlink()
    return path


def find(ckpt: str) -> tuple[Path, Path]:
    """(run folder, checkpoint) of `ckpt=`: a run folder stands for its newest checkpoint, a file for itself.

    Raises:
        UserError: when there is none.
    """
    path = Path(ckpt).resolve()
    if path.is_file() and _NAME.fullmatch(path.name):
        return path.parent.parent, path
    if not path.is_dir():
        raise UserError(f"ckpt={ckpt}: no such run folder or checkpoint; name a folder that a run has written")
    checkpoints = _all(path)
    if not checkpoints:
        raise UserError(
            f"ckpt={ckpt}: no checkpoint in {path / run_folder.CHECKPOINTS}; name a run that saved one "
            "(callbacks.checkpoint.every)"
        )
    return path, checkpoints[-1]


def iteration_of(checkpoint: Path) -> int:
    """Iterations that were finished when `checkpoint` was written."""
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None, checkpoint
    return int(match[1])


def _all(run: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    folder = run / run_folder.CHECKPOINTS
    return sorted(path for path in folder.glob("*.ckpt") if _NAME.fullmatch(path.name))

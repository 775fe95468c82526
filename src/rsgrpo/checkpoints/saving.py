"""Resumable checkpoints: written whole or not at all, by all ranks together."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.api import CheckpointException

from rsgrpo import run_folder
from rsgrpo.checkpoints import keeping, manifest
from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError, causes

T = TypeVar("T")

REFUSED = (OSError, RuntimeError, CheckpointException)
"""What a full disk raises: Python, torch's zip writer, and its writer of shards, whose error is not an `Exception`."""


@runtime_checkable
class SavesOnFailure(Protocol):
    """A callback that keeps checkpoints: asked to save the finished iterations of a run that is about to fail."""

    def save_on_failure(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None: ...


class DirectCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint where it belongs.

    Lightning's own makes two copies of it in memory and one in the system's folder for temporary files, which may be
    on another, smaller disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with Path(path).open("wb") as out:
            torch.save(checkpoint, out)


def loops(trainer: lightning.Trainer) -> dict[str, Any]:
    """How far Lightning has counted: taken at the end of an iteration, where every checkpoint resumes.

    Batches of the current evaluation count as none, for the next one begins at its first: else a resumed run would go
    on counting where an uninterrupted one begins anew.
    """
    state = trainer._checkpoint_connector._get_loops_state_dict()
    current = state["fit_loop"]["epoch_loop.val_loop.batch_progress"]["current"]
    current.update(dict.fromkeys(current, 0))
    return state


def save(
    trainer: lightning.Trainer, run: Path, iteration: int, *, keep: int, counted: dict[str, Any] | None = None
) -> Path:
    """Write the checkpoint of `iteration` and keep the newest `keep` and the best one. Every rank has to call it.

    `counted` is what `loops` returned at the end of the iteration, for a checkpoint that is written later.

    It is written under a temporary name, each rank hashes its share of the files, and when the disk has confirmed
    them and their manifest the folder gets its name. A checkpoint of the same iteration is replaced.

    Returns:
        The folder of the checkpoint.

    Raises:
        UserError: on every rank when any of them could not write, because the disk is full for example. Nothing
            half written is left, and the checkpoints that were there still are.
    """
    path = run_folder.checkpoint(run, iteration)
    temporary = path.with_name(path.name + run_folder.UNFINISHED)

    def prepare() -> None:
        if ranks.is_first():
            path.parent.mkdir(parents=True, exist_ok=True)
            if temporary.exists():
                shutil.rmtree(temporary)
            temporary.mkdir()

    def write() -> None:
        if not isinstance(trainer.strategy, ModelParallelStrategy):
            trainer.strategy.checkpoint_io = DirectCheckpointIO()
        trainer.strategy.save_checkpoint(state, run_folder.state_of(temporary))

    def names() -> list[str]:
        return manifest.files_of(temporary) if ranks.is_first() else []

    def finish() -> None:
        if ranks.is_first():
            manifest.finish_checkpoint(temporary, path, files, ranks=ranks.count())
            keeping.prune(run, keep)

    # The two halves of `trainer.save_checkpoint`, which ends with a barrier that a rank that fails would not reach.
    state = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    state["loops"] = counted or loops(trainer)
    _together(prepare, temporary)
    _together(write, temporary)
    mine = _together(names, temporary)[0][ranks.index() :: ranks.count()]
    hashed = _together(lambda: {name: manifest.fingerprint(temporary / name, durable=True) for name in mine}, temporary)
    files = {name: fingerprint for part in hashed for name, fingerprint in part.items()}
    _together(finish, temporary)
    return path


def _together(step: Callable[[], T], temporary: Path) -> list[T]:
    """What `step` gives on each rank, once all have done it; a failure of one is a failure of all.

    Raises:
        UserError: when the disk refused what a rank wanted to write. Any other exception leaves at once, where it
            was raised: the end of that process ends the others.
    """
    result, failure = None, None
    try:
        result = step()
    except REFUSED as error:
        failure = error
    outcomes = ranks.gather((result, None if failure is None else _reason(failure)))
    reasons = [reason for _, reason in outcomes if reason is not None]
    if reasons:
        if ranks.is_first():
            shutil.rmtree(temporary, ignore_errors=True)  # if this fails too, what is left is never read
        ranks.barrier()  # the space is free again before any rank counts it
        # Others write to the disk meanwhile: the ranks count different MiB, and all say what the first one counted.
        said = ranks.gather(str(run_folder.disk_error(temporary.with_suffix(""), min(reasons))))
        raise UserError(said[0]) from failure
    return [outcome for outcome, _ in outcomes]  # type: ignore[misc]


def _reason(failure: BaseException) -> str:
    """Why a rank could not write, in the system's words if there are any: torch wraps them in its own."""
    if isinstance(failure, CheckpointException):
        reasons = [_reason(cause) for cause, _ in failure.failures.values()]
        return min(reasons) if reasons else str(failure)
    said = next((cause.strerror for cause in causes(failure) if isinstance(cause, OSError) and cause.strerror), None)
    if said is not None:
        return said
    if "inline_container" in str(failure):  # "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"
        return "the disk did not take all of it"
    return " ".join(str(failure).split()) or type(failure).__name__

"""Which checkpoints of a run are kept: the newest, and the best."""

from pathlib import Path

from rsgrpo.checkpoints.manifest import remove_checkpoint
from rsgrpo.run_folder.files import write_json
from rsgrpo.run_folder.names import BEST, CHECKPOINTS, checkpoints, iteration_of
from rsgrpo.run_folder.reading import best


def prune(run: Path, keep: int) -> None:
    """Remove all checkpoints but the newest `keep` and the best one."""
    marked = best(run)
    for old in checkpoints(run)[:-keep]:
        if marked is None or iteration_of(old) != marked["iteration"]:
            remove_checkpoint(old)


def mark_best(run: Path, iteration: int, metric: str, value: float) -> None:
    """Record which checkpoint is the best one by which metric: `prune` keeps it.

    Raises:
        UserError: when the disk refuses.
    """
    write_json(run / CHECKPOINTS / BEST, {"iteration": iteration, "metric": metric, "value": value})

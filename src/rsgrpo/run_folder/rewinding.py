"""What a run drops before it goes on from a checkpoint, or begins anew in its folder."""

import json
import shutil
from pathlib import Path

from rsgrpo.run_folder.files import read, replace
from rsgrpo.run_folder.keeping import best
from rsgrpo.run_folder.manifest import remove_checkpoint
from rsgrpo.run_folder.names import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    DONE,
    LOGS,
    METRICS,
    OVERRIDES,
    POLICIES,
    POLICY,
    RECORDS,
    REPLACED,
    RUN,
    TEST,
    UNFINISHED,
    VALIDATION,
    checkpoints,
    iteration_of,
)
from rsgrpo.types import UserError


def evaluated(run: Path, split: str, iteration: int) -> bool:
    """Whether the evaluation of a split at an iteration was logged, which is the last that is done of it."""
    records = (record for record in read(run / METRICS) if record["iteration"] == iteration)
    return any(key.startswith(f"eval/{split}/") for record in records for key in record)


def rewind(run: Path, iteration: int) -> None:
    """Drop every record and checkpoint made after `iteration`, which a resumed run makes again, and what is half made.

    Raises:
        UserError: when the disk refuses.
    """
    ends = {VALIDATION: "validation", TEST: "test"}
    for name in (name for name in RECORDS if (run / name).exists()):
        cut_short = name in ends and not evaluated(run, ends[name], iteration)
        last = iteration - 1 if cut_short else iteration
        whole = [line for line in (run / name).read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        kept = [line for line in whole if json.loads(line)["iteration"] <= last]
        replace(run / name, b"".join(kept))
    _remove_unfinished(run)
    for later in [path for path in checkpoints(run) if iteration_of(path) > iteration]:
        remove_checkpoint(later)
    marked = best(run)
    if marked is not None and marked["iteration"] > iteration:
        (run / CHECKPOINTS / BEST).unlink()
    (run / DONE).unlink(missing_ok=True)


def _remove_unfinished(run: Path) -> None:
    """Remove what a kill left half written, half removed or half replaced."""
    for folder in (run, (run / VALIDATION).parent, run / CHECKPOINTS, run / POLICIES):
        for path in folder.glob(f"*{UNFINISHED}"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (run / CHECKPOINTS).glob(f"*{REPLACED}"):
        if path not in checkpoints(run):
            remove_checkpoint(path)


def clear(run: Path) -> None:
    """Remove what a run that saved no checkpoint left behind, so that it can begin anew in its folder.

    Only files that a run writes are removed, and only where there is a `run.json`.

    Raises:
        UserError: when the run has a checkpoint, damaged or not, or was finished: that is not thrown away.
    """
    if not (run / RUN).is_file():
        return
    if checkpoints(run) or (run / DONE).exists():
        raise UserError(f"{run} holds a run with results; choose another folder with hydra.run.dir=..., or remove it")
    _remove_unfinished(run)
    for folder in (CHECKPOINTS, POLICY, POLICIES, *LOGS):
        if (run / folder).is_dir():
            shutil.rmtree(run / folder)
    for file in [run / name for name in (CONFIG, OVERRIDES, *RECORDS)]:
        file.unlink(missing_ok=True)
    evaluation = (run / VALIDATION).parent
    if evaluation.is_dir() and not any(evaluation.iterdir()):
        evaluation.rmdir()
    (run / RUN).unlink()  # last: a kill before leaves a folder that can still be cleared

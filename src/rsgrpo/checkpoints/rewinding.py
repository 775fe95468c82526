"""What a run drops before it goes on from a checkpoint, or begins anew in its folder."""

import os
from pathlib import Path

from rsgrpo.checkpoints.manifest import remove_checkpoint, remove_tree
from rsgrpo.errors import UserError
from rsgrpo.run_folder.files import replace
from rsgrpo.run_folder.names import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    DONE,
    EVALUATIONS,
    FOLDERS,
    METRICS,
    OUTPUT,
    OVERRIDES,
    POLICIES,
    RECORDS,
    REPLACED,
    RUN,
    SOURCE_DIFF,
    TEST,
    UNFINISHED,
    VALIDATION,
    checkpoints,
    is_checkpoint,
    iteration_of,
)
from rsgrpo.run_folder.reading import best, read, read_lines


def evaluated(run: Path, split: str, iteration: int) -> bool:
    """Whether the evaluation of a split at an iteration was logged, which is its last step."""
    records = (record for record in read(run / METRICS) if record["iteration"] == iteration)
    return any(key.startswith(f"eval/{split}/") for record in records for key in record)


def rewind(run: Path, iteration: int) -> None:
    """Drop every record, checkpoint and policy made after `iteration`, which a resumed run makes again, and what is
    half made.

    All is read first: a folder that is damaged is left as it was.

    Raises:
        UserError: when something in the folder is damaged, or the disk refuses.
    """
    check_kinds(run)
    kept = {name: _kept(run, name, iteration) for name in RECORDS if (run / name).exists()}
    marked = best(run)
    for name, content in kept.items():
        replace(run / name, content)
    _remove_unfinished(run)
    for later in [path for path in checkpoints(run) if iteration_of(path) > iteration]:
        remove_checkpoint(later)
    for policy in _entries(run / POLICIES):
        if is_checkpoint(policy) and iteration_of(policy) > iteration:
            remove_tree(policy)
    if marked is not None and marked["iteration"] > iteration:
        (run / CHECKPOINTS / BEST).unlink()
    (run / DONE).unlink(missing_ok=True)


def _kept(run: Path, name: str, iteration: int) -> bytes:
    """The lines of a file that a run keeps when it goes on after `iteration`."""
    ends = {VALIDATION: "validation", TEST: "test"}
    cut_short = name in ends and not evaluated(run, ends[name], iteration)
    last = iteration - 1 if cut_short else iteration
    return b"".join(line for line, record in read_lines(run / name) if record["iteration"] <= last)


def check_kinds(run: Path) -> None:
    """Refuse a folder where a run writes a file, and a file where it writes a folder.

    Raises:
        UserError: naming it.
    """
    inside = [path for folder in (CHECKPOINTS, POLICIES) for path in _entries(run / folder) if _is_of_iteration(path)]
    for path in [*(run / name for name in FOLDERS), *inside]:
        if os.path.lexists(path) and not path.is_dir():
            raise UserError(f"{path} is not a folder, and a run writes one there; move it away")
    for path in (run / name for name in (RUN, CONFIG, OVERRIDES, SOURCE_DIFF, DONE, *RECORDS, f"{CHECKPOINTS}/{BEST}")):
        if os.path.lexists(path) and not path.is_file():
            raise UserError(f"{path} is not a file, and a run writes one there; move it away")


def _is_of_iteration(path: Path) -> bool:
    return path.name.startswith("iteration_") and not path.name.endswith(UNFINISHED)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _remove_unfinished(run: Path) -> None:
    """Remove what a kill left half written, half removed or half replaced."""
    for folder in (run, (run / VALIDATION).parent, run / CHECKPOINTS, run / POLICIES):
        for path in folder.glob(f"*{UNFINISHED}"):
            remove_tree(path)
    for path in (run / CHECKPOINTS).glob(f"*{REPLACED}"):
        if path not in checkpoints(run):
            remove_checkpoint(path)


def clear(run: Path) -> None:
    """Remove what a run that saved no checkpoint left behind, so that it can begin anew in its folder.

    Only what a run writes is removed, only where there is a `run.json`, and only if nothing else is there. What it has
    printed stays: whoever has started it writes on below.

    Raises:
        UserError: when the run has a checkpoint, damaged or not, or was finished: results are not thrown away; and when
            there is something that no run writes. In these cases nothing was removed.
    """
    if not (run / RUN).is_file():
        return
    if checkpoints(run) or os.path.lexists(run / DONE):
        raise UserError(f"{run} holds a run with results; choose another folder with hydra.run.dir=..., or remove it")
    check_kinds(run)
    _check_nothing_else(run)
    _remove_unfinished(run)
    for path in [run / name for name in (*FOLDERS, CONFIG, OVERRIDES, SOURCE_DIFF, *RECORDS)]:
        if os.path.lexists(path):
            remove_tree(path)
    (run / RUN).unlink()  # last: a kill before leaves a folder that can still be cleared


def _check_nothing_else(run: Path) -> None:
    """Refuse a folder that holds anything no run writes, or links, which lead elsewhere.

    Raises:
        UserError: naming it.
    """
    own = {RUN, CONFIG, OVERRIDES, SOURCE_DIFF, OUTPUT, *RECORDS, *FOLDERS}
    for path in [*_entries(run), *_entries(run / EVALUATIONS)]:
        name = path.relative_to(run).as_posix()
        if path.is_symlink():
            raise UserError(f"{path} is a link, so the run does not begin anew in its folder; remove the link first")
        if name not in own and not name.endswith(UNFINISHED):
            raise UserError(
                f"{path} is not something that a run writes, so the run does not begin anew there; move it away"
            )

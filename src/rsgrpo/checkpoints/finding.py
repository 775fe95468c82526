"""Which checkpoint `ckpt=` stands for."""

import sys
from collections.abc import Callable
from pathlib import Path

from rsgrpo.checkpoints.manifest import damage
from rsgrpo.errors import UserError
from rsgrpo.run_folder.names import BEST, CHECKPOINTS, REPLACED, checkpoint, checkpoints, is_checkpoint, iteration_of
from rsgrpo.run_folder.reading import best


def newest_whole(run: Path, *, contents: bool = True) -> tuple[Path | None, list[str]]:
    """The newest checkpoint of a run that is whole, and a sentence for each newer one that is not.

    Args:
        run: the run folder.
        contents: see `damage`.
    """
    passed_over = []
    for path in reversed(checkpoints(run)):
        problem = damage(path, contents=contents)
        if problem is None:
            return path, passed_over
        passed_over.append(f"{path} is damaged: {problem}")
    return None, passed_over


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr)


def find_checkpoint(
    ckpt: str, *, say: Callable[[str], None] = _to_stderr, contents: bool = True, key: str = "ckpt"
) -> tuple[Path, Path]:
    """(run folder, checkpoint) of `ckpt=`.

    A run folder stands for its newest whole checkpoint, `RUN/checkpoints/best` for the best one that was recorded,
    and a folder `RUN/checkpoints/iteration_NNNNNN` for itself.

    Args:
        ckpt: what the user wrote.
        say: is told of every damaged checkpoint that is passed over.
        contents: see `damage`.
        key: what the user gave it by.

    Raises:
        UserError: when there is none, or the one that was named is damaged.
    """
    named = f"{key}={ckpt}"
    path = Path(ckpt).resolve()
    if path.parent.name == CHECKPOINTS and path.name == Path(BEST).stem:
        run = path.parent.parent
        marked = best(run)
        if marked is None:
            raise UserError(
                f"{named}: no checkpoint was recorded as the best one in {run / CHECKPOINTS}; {_those_of(run, key)}, "
                "or name the metric to go by when you train: best=... of Checkpoint",
                best="checkpoint",
            )
        path = checkpoint(run, marked["iteration"])
        if path.with_name(path.name + REPLACED) in checkpoints(run):
            path = path.with_name(path.name + REPLACED)
        return run, _undamaged(named, run, path, contents=contents, key=key)
    if path.parent.name == CHECKPOINTS and is_checkpoint(path) and path.is_dir():
        return path.parent.parent, _undamaged(named, path.parent.parent, path, contents=contents, key=key)
    if path.parent.name == CHECKPOINTS and path.parent.is_dir() and not path.is_dir():
        run = path.parent.parent
        raise UserError(f"{named}: there is no such checkpoint, never or no more; {_those_of(run, key)}")
    if not path.is_dir():
        raise UserError(f"{named}: no such run folder or checkpoint; name a folder that a run has written")
    whole, passed_over = newest_whole(path, contents=contents)
    if whole is None and passed_over:
        raise UserError(f"{named}: no checkpoint is whole: {'; '.join(passed_over)}; start the run again")
    if whole is None:
        raise UserError(
            f"{named}: no checkpoint in {path / CHECKPOINTS}; name a run that saved one "
            "(every=... of Checkpoint), or start again",
            every="checkpoint",
        )
    for message in passed_over:
        say(f"{message}; going on from {whole.name}, which is whole")
    return path, whole


def _those_of(run: Path, key: str) -> str:
    """Which checkpoints of a run there are, and the word for the newest."""
    there = checkpoints(run)
    if not there:
        return "the run has none"
    iterations = ", ".join(str(iteration_of(path)) for path in there)
    which = f"those of the iterations {iterations} are" if len(there) > 1 else f"that of iteration {iterations} is"
    return f"{which} there: name one, {key}={there[-1]} for example"


def _undamaged(named: str, run: Path, path: Path, *, contents: bool, key: str) -> Path:
    """The checkpoint at `path`, which the user named.

    Raises:
        UserError: when it is not what was written.
    """
    problem = damage(path, contents=contents) if path.is_dir() else f"{path} is missing"
    if problem is None:
        return path
    whole, _ = newest_whole(run)
    cure = f"go on from the newest whole one with {key}={whole}" if whole else "no other one is whole: start again"
    raise UserError(f"{named} is damaged: {problem}; {cure}")

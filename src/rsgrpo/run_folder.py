"""The run folder: the documented interface between a run and everything that looks at it later.

`docs/run_folder.md` describes every file. Writers append JSON Lines, one record a line, each with its `iteration`;
readers in `analysis/` use nothing else.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rsgrpo.types import UserError

FORMAT = 2
"""Version of the layout and of the records, written to `run.json`."""

RUN = "run.json"
CONFIG = "config.yaml"
OVERRIDES = "overrides.yaml"
METRICS = "metrics.jsonl"
PROMPTS = "prompts.jsonl"
ROLLOUTS = "rollouts.jsonl"
VALIDATION = "eval/validation.jsonl"
TEST = "eval/test.jsonl"
CHECKPOINTS = "checkpoints"
STATE = "state.ckpt"
MANIFEST = "manifest.json"
BEST = "best.json"
POLICY = "policy"
POLICIES = "policies"
DONE = "done.json"
AUDIT = "audit.json"
BANDIT = "bandit.json"
LEMMAS = "lemmas.json"
SCORES = "scores.jsonl"
FIGURES = "figures"

RECORDS = (METRICS, PROMPTS, ROLLOUTS, VALIDATION, TEST)
"""The JSON Lines files."""

LOGS = ("tensorboard", "csv", "wandb")
"""The folders of the loggers."""

UNFINISHED = ".unfinished"
"""Ends the name of what is being written or removed: never read, and dropped by `rewind`."""

REPLACED = ".replaced"
"""Ends the name of a checkpoint while another takes its place."""

MIB = 2**20

_CHECKPOINT = re.compile(rf"iteration_(\d+)({re.escape(REPLACED)})?")
_CHUNK = 2**20  # bytes hashed at a time
_HASHING_THREADS = 4


def checkpoint(run: Path, iteration: int) -> Path:
    """The folder of the checkpoint written after `iteration`."""
    return run / CHECKPOINTS / f"iteration_{iteration:06d}"


def exported_policy(run: Path, iteration: int) -> Path:
    """The Hugging Face folder of the policy after `iteration`."""
    return run / POLICIES / f"iteration_{iteration:06d}"


def state_of(checkpoint: Path) -> Path:
    """What Lightning resumes from: a file, or a folder of shards."""
    return checkpoint / STATE


def is_sharded(checkpoint: Path) -> bool:
    """Whether the state is a folder of shards, which only a sharding strategy reads, on any number of ranks."""
    return state_of(checkpoint).is_dir()


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run that were finished, oldest first; `damage` tells whether they still are what they were.

    One that a kill caught between stepping aside and being replaced stands for its iteration.
    """
    found: dict[int, Path] = {}
    for path in sorted((run / CHECKPOINTS).glob("iteration_*")):
        if _CHECKPOINT.fullmatch(path.name) and path.is_dir():
            found.setdefault(iteration_of(path), path)  # the plain name sorts before its .replaced
    return [found[iteration] for iteration in sorted(found)]


def iteration_of(path: Path) -> int:
    """Iterations that were finished when the checkpoint at `path` was written."""
    match = _CHECKPOINT.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


def files_of(checkpoint: Path) -> list[str]:
    """Every file below the folder of a checkpoint but its manifest: sorted paths relative to it."""
    files = (file.relative_to(checkpoint).as_posix() for file in checkpoint.rglob("*") if not file.is_dir())
    return sorted(name for name in files if name != MANIFEST)


def fingerprint(file: Path, *, durable: bool = False) -> dict[str, Any]:
    """`bytes` and `blake2b` (hexadecimal) of a file's content; `durable` has the disk confirm it first.

    Raises:
        OSError: when it cannot be read.
    """
    content = hashlib.blake2b()
    with file.open("rb") as source:
        if durable:
            os.fsync(source.fileno())
        while chunk := source.read(_CHUNK):
            content.update(chunk)  # lets other threads run
        return {"bytes": source.tell(), "blake2b": content.hexdigest()}


def finish_checkpoint(unfinished: Path, path: Path, files: Mapping[str, Any], *, ranks: int) -> None:
    """Write the manifest of a checkpoint whose files are all there, and give the folder its name.

    Args:
        unfinished: the folder, beside `path`.
        path: the name that it gets; a checkpoint that has it already steps aside first.
        files: the `fingerprint` of each of `files_of(unfinished)`.
        ranks: how many processes wrote it.

    Raises:
        OSError: when the disk refuses; `path` is then what it was.
    """
    manifest = {"iteration": iteration_of(path), "ranks": ranks, "files": dict(sorted(files.items()))}
    with (unfinished / MANIFEST).open("w", encoding="utf-8") as out:
        out.write(json.dumps(manifest, indent=1) + "\n")
        out.flush()
        os.fsync(out.fileno())
    for folder in [folder for folder in unfinished.rglob("*") if folder.is_dir()] + [unfinished]:
        _sync_folder(folder)
    replaced = path.with_name(path.name + REPLACED)
    if path.exists():
        if replaced.exists():
            remove_checkpoint(replaced)
        path.rename(replaced)
    try:
        unfinished.rename(path)
    except OSError:
        if replaced.exists():
            replaced.rename(path)
        raise
    _sync_folder(path.parent)
    if replaced.exists():
        remove_checkpoint(replaced)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint; a kill meanwhile leaves nothing that looks like one."""
    removed = path.with_name(path.name + UNFINISHED)
    if removed.exists():
        shutil.rmtree(removed)
    path.rename(removed)
    shutil.rmtree(removed)


def prune(run: Path, keep: int) -> None:
    """Remove all checkpoints but the newest `keep` and the best one."""
    marked = best(run)
    for old in checkpoints(run)[:-keep]:
        if marked is None or iteration_of(old) != marked["iteration"]:
            remove_checkpoint(old)


def best(run: Path) -> dict[str, Any] | None:
    """What `mark_best` recorded last: `iteration`, `metric` and `value`; None when nothing was."""
    file = run / CHECKPOINTS / BEST
    return read_json(file) if file.is_file() else None


def mark_best(run: Path, iteration: int, metric: str, value: float) -> None:
    """Record which checkpoint is the best one by which metric: `prune` keeps it.

    Raises:
        UserError: when the disk refuses.
    """
    write_json(run / CHECKPOINTS / BEST, {"iteration": iteration, "metric": metric, "value": value})


def damage(checkpoint: Path, *, contents: bool = True) -> str | None:
    """How a checkpoint differs from its manifest, None when it is whole.

    Args:
        checkpoint: its folder.
        contents: read and hash every file, about a second per GiB and thread; otherwise only sizes are compared.
    """
    try:
        manifest = read_json(checkpoint / MANIFEST)
        files: dict[str, dict[str, Any]] = manifest["files"]
        sizes = {name: int(expected["bytes"]) for name, expected in files.items()}
        hashes = {name: str(expected["blake2b"]) for name, expected in files.items()}
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read ({type(error).__name__}: {error})"
    if not sizes:
        return f"{MANIFEST} lists no files"

    def differs(name: str) -> str | None:
        file = checkpoint / name
        try:
            size = file.stat().st_size
            if size != sizes[name]:
                return f"{name} has {size} bytes instead of {sizes[name]}"
            if contents and fingerprint(file)["blake2b"] != hashes[name]:
                return f"{name} has another content than was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        return None

    with ThreadPoolExecutor(_HASHING_THREADS) as threads:
        return next((problem for problem in threads.map(differs, sizes) if problem), None)


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


def find_checkpoint(ckpt: str, *, say: Callable[[str], None] = _to_stderr, contents: bool = True) -> tuple[Path, Path]:
    """(run folder, checkpoint) of `ckpt=`.

    A run folder stands for its newest whole checkpoint, `RUN/checkpoints/best` for the best one that was recorded,
    and a folder `RUN/checkpoints/iteration_NNNNNN` for itself.

    Args:
        ckpt: the word.
        say: is told of every damaged checkpoint that is passed over.
        contents: see `damage`.

    Raises:
        UserError: when there is none, or the one that was named is damaged.
    """
    path = Path(ckpt).resolve()
    if path.parent.name == CHECKPOINTS and path.name == Path(BEST).stem:
        run = path.parent.parent
        marked = best(run)
        if marked is None:
            raise UserError(
                f"ckpt={ckpt}: no checkpoint was recorded as the best one in {run / CHECKPOINTS}; name another one, "
                "or have the metric watched that tells: callbacks.checkpoint.best=..."
            )
        path = checkpoint(run, marked["iteration"])
        if path.with_name(path.name + REPLACED) in checkpoints(run):
            path = path.with_name(path.name + REPLACED)
        return run, _undamaged(ckpt, run, path, contents=contents)
    if path.parent.name == CHECKPOINTS and _CHECKPOINT.fullmatch(path.name) and path.is_dir():
        return path.parent.parent, _undamaged(ckpt, path.parent.parent, path, contents=contents)
    if not path.is_dir():
        raise UserError(f"ckpt={ckpt}: no such run folder or checkpoint; name a folder that a run has written")
    whole, passed_over = newest_whole(path, contents=contents)
    if whole is None and passed_over:
        raise UserError(f"ckpt={ckpt}: no checkpoint is whole: {'; '.join(passed_over)}; start the run again")
    if whole is None:
        raise UserError(
            f"ckpt={ckpt}: no checkpoint in {path / CHECKPOINTS}; name a run that saved one "
            "(callbacks.checkpoint.every), or start again"
        )
    for message in passed_over:
        say(f"{message}; going on from {whole.name}, which is whole")
    return path, whole


def _undamaged(ckpt: str, run: Path, path: Path, *, contents: bool) -> Path:
    """The checkpoint at `path`, which the user named.

    Raises:
        UserError: when it is not what was written.
    """
    problem = damage(path, contents=contents) if path.is_dir() else f"{path} is missing"
    if problem is None:
        return path
    whole, _ = newest_whole(run)
    cure = f"go on from the newest whole one with ckpt={whole}" if whole else "no other one is whole: start again"
    raise UserError(f"ckpt={ckpt} is damaged: {problem}; {cure}")


def disk_error(file: Path, error: OSError | str) -> UserError:
    """One sentence about a file or folder that could not be written: the reason, the space there, and the cure."""
    folder = next(folder for folder in (file, *file.parents) if folder.is_dir())
    reason = error if isinstance(error, str) else error.strerror or type(error).__name__
    run = next((folder for folder in file.parents if (folder / RUN).is_file()), None)
    go_on = f"go on with ckpt={run}" if run and checkpoints(run) else "start again"
    free = shutil.disk_usage(folder).free // MIB
    return UserError(f"{file} cannot be written ({reason}; {free:,} MiB are free there); free some space and {go_on}")


def append(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append records to a JSON Lines file, making its folder on first use: all of them or, if that fails, none.

    Raises:
        UserError: when the disk refuses, because it is full for example.
    """
    content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    length = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab", buffering=0) as out:
            length = out.tell()
            _write_whole(out, content)
    except OSError as error:  # some file systems say only on closing that there was no room
        if length is not None:
            os.truncate(file, length)
        raise disk_error(file, error) from error


def _write_whole(out: Any, content: bytes) -> None:
    """A raw file may take only the part that fits, and refuse the next one."""
    left = memoryview(content)
    while left:
        left = left[out.write(left) :]


def read_json(file: Path) -> Any:
    """The content of a file that is one JSON value."""
    return json.loads(file.read_text(encoding="utf-8"))


def write_json(file: Path, content: Any, *, indent: int | None = 1) -> None:
    """Write a file that is one JSON value: whoever reads it sees the old content or the new one, never a part.

    Raises:
        UserError: when the disk refuses.
    """
    _replace(file, (json.dumps(content, indent=indent) + "\n").encode())


def _replace(file: Path, content: bytes) -> None:
    """Put `content` in the place of a file.

    Raises:
        UserError: when the disk refuses; the file is then what it was.
    """
    temporary = file.with_name(file.name + UNFINISHED)
    try:
        with _removed_on_error(temporary), temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except OSError as error:
        raise disk_error(file, error) from error


@contextmanager
def _removed_on_error(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        file.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Have the disk confirm the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(file: Path) -> list[dict[str, Any]]:
    """All records of a JSON Lines file, without a last one that was cut short; none when there is no such file."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]


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
        _replace(run / name, b"".join(kept))
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

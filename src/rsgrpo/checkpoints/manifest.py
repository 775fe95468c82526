"""The manifest of a checkpoint, which finishes it and which it is compared with; checkpoints are removed whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rsgrpo.run_folder.files import sync_folder
from rsgrpo.run_folder.names import MANIFEST, REPLACED, RUN, UNFINISHED, is_checkpoint, iteration_of
from rsgrpo.run_folder.reading import damage_of_json, read_json, run_id

_CHUNK = 2**20  # bytes hashed at a time
_HASHING_THREADS = 4


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
    run = run_id(path.parent.parent)
    whose = {} if run is None else {"run": run}
    manifest = {"iteration": iteration_of(path), **whose, "ranks": ranks, "files": dict(sorted(files.items()))}
    with (unfinished / MANIFEST).open("w", encoding="utf-8") as out:
        out.write(json.dumps(manifest, indent=1) + "\n")
        out.flush()
        os.fsync(out.fileno())
    for folder in [folder for folder in unfinished.rglob("*") if folder.is_dir()] + [unfinished]:
        sync_folder(folder)
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
    sync_folder(path.parent)
    if replaced.exists():
        remove_checkpoint(replaced)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint; a kill meanwhile leaves nothing that looks like one."""
    removed = path.with_name(path.name + UNFINISHED)
    if os.path.lexists(removed):
        remove_tree(removed)
    path.rename(removed)
    remove_tree(removed)


def remove_tree(path: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link, but never what a link leads to."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def damage(checkpoint: Path, *, contents: bool = True) -> str | None:
    """How a checkpoint differs from its manifest, None when it is whole; any other folder with a manifest likewise.

    Args:
        checkpoint: its folder.
        contents: read and hash every file, about a second per GiB and thread; otherwise only sizes are compared.
    """
    file = checkpoint / MANIFEST
    if not os.path.lexists(file):
        return f"{MANIFEST} is missing"
    if (problem := damage_of_json(file)) is not None:
        return f"{MANIFEST} cannot be read: {problem}"
    manifest = read_json(file)
    sizes = {name: expected["bytes"] for name, expected in manifest["files"].items()}
    hashes = {name: expected["blake2b"] for name, expected in manifest["files"].items()}
    if is_checkpoint(checkpoint) and (problem := _of_another_run(checkpoint, manifest)) is not None:
        return problem
    if not sizes:
        return f"{MANIFEST} lists no files"
    if outside := [name for name in sizes if Path(name).is_absolute() or ".." in Path(name).parts]:
        return f"{MANIFEST} names {outside[0]!r}, which lies outside"

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
        except (OSError, ValueError) as error:  # the name itself may be one that no file has
            return f"{name!r} cannot be read ({error.strerror if isinstance(error, OSError) else error})"
        return None

    with ThreadPoolExecutor(_HASHING_THREADS) as threads:
        return next((problem for problem in threads.map(differs, sizes) if problem), None)


def _of_another_run(checkpoint: Path, manifest: Mapping[str, Any]) -> str | None:
    """How a manifest contradicts the folder it lies in: copied in from another run, or renamed."""
    named = {iteration_of(checkpoint), manifest.get("iteration", iteration_of(checkpoint))}
    if len(named) > 1:
        return f"{MANIFEST} is that of iteration {manifest['iteration']}"
    run = run_id(checkpoint.parent.parent)
    if (checkpoint.parent.parent / RUN).is_file() and manifest.get("run", run) != run:
        return f"it is a checkpoint of another run ({manifest['run']}), and this one is {run or 'older'}"
    return None

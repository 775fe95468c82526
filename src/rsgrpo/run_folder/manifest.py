"""A checkpoint and its manifest: finished with it, compared with it, removed as a whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rsgrpo.run_folder.files import read_json, sync_folder
from rsgrpo.run_folder.names import MANIFEST, REPLACED, UNFINISHED, iteration_of

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
    manifest = {"iteration": iteration_of(path), "ranks": ranks, "files": dict(sorted(files.items()))}
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
    if removed.exists():
        shutil.rmtree(removed)
    path.rename(removed)
    shutil.rmtree(removed)


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

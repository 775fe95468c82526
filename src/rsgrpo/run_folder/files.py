"""Writing the files of a run folder: JSON, and JSON Lines that grow."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rsgrpo.errors import UserError
from rsgrpo.run_folder.names import RUN, UNFINISHED, checkpoints

MIB = 2**20


def disk_error(file: Path, error: OSError | str) -> UserError:
    """One sentence about a file or folder that could not be written: the reason, the space there, and the cure."""
    folder = next(folder for folder in (file, *file.parents) if folder.is_dir())
    reason = error if isinstance(error, str) else error.strerror or type(error).__name__
    run = next((folder for folder in (file, *file.parents) if (folder / RUN).is_file()), None)
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


def write_json(file: Path, content: Any, *, indent: int | None = 1) -> None:
    """Write a file that is one JSON value: whoever reads it sees the old content or the new one, never a part.

    Raises:
        UserError: when the disk refuses.
    """
    replace(file, (json.dumps(content, indent=indent) + "\n").encode())


def replace(file: Path, content: bytes) -> None:
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


def readable_as_the_others(folder: Path) -> None:
    """Give the weights in a Hugging Face folder the mode of its configuration, which follows the umask.

    safetensors makes its files their owner's alone.
    """
    mode = (folder / "config.json").stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)


def sync_folder(folder: Path) -> None:
    """Have the disk confirm the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""`eval/<split>.samples.jsonl.gz`: every sample of an evaluation, in blocks that are there whole or not at all.

A line is a chunk of one problem: its id, how many samples came before (`start`), and of each sample the answer, whether
it is correct, its reward, its tokens, whether it is finished, and the mean log-prob of its tokens. Each block is a gzip
member of its own: `zcat` reads the file, and one that a kill cut short is read up to its last whole block.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rsgrpo.run_folder.files import disk_error

Chunk = Mapping[str, Any]


def append_block(file: Path, chunks: Sequence[Chunk]) -> None:
    """Write a block and wait until the disk has it.

    Raises:
        UserError: when the disk refuses; the file is then what it was.
    """
    content = "".join(json.dumps(chunk, ensure_ascii=False) + "\n" for chunk in chunks).encode()
    block = gzip.compress(content, mtime=0)
    length = file.stat().st_size if file.exists() else 0
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as out:
            out.write(block)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        if file.exists():
            os.truncate(file, length)
        raise disk_error(file, error) from error


def read_chunks(file: Path) -> Iterator[Chunk]:
    """The lines of all whole blocks, one block in memory at a time."""
    for _, content in _blocks(file):
        yield from map(json.loads, content.splitlines())


def cut_to_whole_blocks(file: Path) -> None:
    """Remove what a kill left of a block."""
    if not file.exists():
        return
    whole = 0
    for whole, _ in _blocks(file):  # noqa: B007
        pass
    if whole < file.stat().st_size:
        os.truncate(file, whole)


def _blocks(file: Path) -> Iterator[tuple[int, bytes]]:
    """(where it ends, content) of each whole gzip member, up to the first that is not."""
    if not file.exists():
        return
    with file.open("rb") as source:
        waiting, read = b"", 0
        while True:
            member, parts = zlib.decompressobj(wbits=31), []
            while not member.eof:
                piece = waiting or source.read(1 << 16)
                waiting = b""
                if not piece:
                    return
                read += len(piece)
                try:
                    parts.append(member.decompress(piece))
                except zlib.error:
                    return
            waiting = member.unused_data
            read -= len(waiting)
            yield read, b"".join(parts)

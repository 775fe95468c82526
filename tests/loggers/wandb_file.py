"""The history in W&B's offline files: blocks of 32 KiB with records in pieces, as in LevelDB's log format."""

import json
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 2**15
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def history(file: Path) -> list[dict[str, Any]]:
    """The rows that were logged, in order, each with its `_step`."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    rows = []
    for raw in _records(file.read_bytes()):
        record = Record.FromString(raw)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def _records(content: bytes) -> list[bytes]:
    found, pieces, at = [], b"", HEADER
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:  # no room for the head of a record: the rest of the block is empty
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        piece = content[at + 7 : at + 7 + length]
        pieces = piece if kind in (FULL, FIRST) else pieces + piece
        if kind in (FULL, LAST) and len(piece) == length:
            found.append(pieces)
        at += 7 + length
    return found

"""Checkpoints are pickles, and a pickle may call anything: only weights and plain values are read from one."""

import os
import pickle
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import BytesStorageMetadata

from rsgrpo.errors import UserError

INDEX = ".metadata"
"""The file of a folder of shards that torch reads with plain pickle."""

OF_AN_INDEX = "torch.distributed.checkpoint.metadata"
"""The module whose classes an index is made of."""

PLAIN = {
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
}


class _Index(pickle.Unpickler):
    """Refuses everything that an index is not made of, before it is called."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        plain = (module_name, global_name) in PLAIN
        if plain or (module_name in ("torch", OF_AN_INDEX) and "." not in global_name):
            found = super().find_class(module_name, global_name)
            if plain or isinstance(found, torch.dtype) or getattr(found, "__module__", None) == OF_AN_INDEX:
                return found
        raise pickle.UnpicklingError(f"{module_name}.{global_name}")


def check_weights_only(state: Path) -> None:
    """Refuse the state of a checkpoint that would call something when it is read.

    Raises:
        UserError: naming the file.
    """
    files = [file for file in sorted(state.rglob("*")) if file.is_file()] if state.is_dir() else [state]
    for file in files:
        try:
            if file.name == INDEX:
                for value in _plain_values(file):
                    torch.load(value, map_location="meta", weights_only=True)
            elif file.suffix != ".distcp":  # shards: torch reads their tensors as weights only
                torch.load(file, map_location="meta", mmap=True, weights_only=True)
        except pickle.UnpicklingError as error:
            raise UserError(
                f"{file} holds more than weights ({_called(error)}), which no run writes and which would run on being "
                "read; take the checkpoint from whoever you trust"
            ) from None
        except Exception as error:
            raise UserError(
                f"{file} is not a checkpoint ({type(error).__name__}); name another one with ckpt="
            ) from None


def _plain_values(index: Path) -> Iterator[BytesIO]:
    """What lies between the tensors in the shards beside an index."""
    with index.open("rb") as content:
        metadata = _Index(content).load()
    for entry, place in metadata.storage_data.items():
        if isinstance(metadata.state_dict_metadata[entry.fqn], BytesStorageMetadata):
            with (index.parent / place.relative_path).open("rb") as shard:
                shard.seek(place.offset)
                yield BytesIO(shard.read(place.length))


def _called(error: pickle.UnpicklingError) -> str:
    """What the pickle wanted to call, out of torch's page of advice."""
    words = str(error).split()
    return (
        words[words.index("GLOBAL") + 1].strip("`") if "GLOBAL" in words[:-1] else words[0] if words else "unreadable"
    )


def load_weights_only() -> None:
    """Have torch read nothing but weights in this process, also where Lightning or torch itself asks for more."""
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

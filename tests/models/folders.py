"""Small Hugging Face folders with one thing wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
FIRST = "model.layers.0.mlp.up_proj.weight"
EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345678\n"

Change = Callable[[Path], object]
"""What is done to a folder."""


def tensors(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / WEIGHTS)


def renamed(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Change:
    """The folder's tensors become what `change` makes of them."""

    def apply(folder: Path) -> None:
        changed = {name: tensor.clone().contiguous() for name, tensor in change(tensors(folder)).items()}
        save_file(changed, folder / WEIGHTS, metadata={"format": "pt"})

    return apply


def prefixed(prefix: str) -> Change:
    return renamed(lambda found: {prefix + name: tensor for name, tensor in found.items()})


def configured(file: str = "config.json", **settings: Any) -> Change:
    """A setting of `file` is another one; None takes it away."""

    def apply(folder: Path) -> None:
        path = folder / file
        content = json.loads(path.read_text()) | settings
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return apply


def written(name: str, content: str | bytes) -> Change:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def cut(name: str, by: int = 100) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-by])


def removed(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def pickled(folder: Path) -> None:
    """The same weights as older versions wrote them."""
    torch.save(tensors(folder), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def sharded(folder: Path) -> None:
    """The same weights in two files with an index."""
    found = tensors(folder)
    halves = {
        "model-00001-of-00002.safetensors": sorted(found)[::2],
        "model-00002-of-00002.safetensors": sorted(found)[1::2],
    }
    for file, names in halves.items():
        save_file({name: found[name] for name in names}, folder / file, metadata={"format": "pt"})
    places = {name: file for file, names in halves.items() for name in names}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / WEIGHTS).unlink()


def adapted(folder: Path) -> None:
    """Adapters as peft saves them, beside the configuration of their base."""
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))
    save_file({f"base_model.model.{FIRST}": torch.zeros(2)}, folder / "adapter_model.safetensors")
    (folder / WEIGHTS).unlink()


def all_of(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def changed(folder: Path, change: Change, place: Path) -> Path:
    """A copy of `folder` in `place` after the change."""
    copy = place / "changed"
    shutil.copytree(folder, copy)
    change(copy)
    return copy

"""The policy as an ordinary Hugging Face folder, written tensor by tensor however it is sharded."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from rsgrpo import run_folder
from rsgrpo.distributed import ranks
from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.models.policy import Policy

FILE_BYTES = 4 * 2**30
"""Tensors of one safetensors file together, and so what rank 0 holds at once while it writes."""


def save_policy(policy: Policy, folder: Path, *, file_bytes: int = FILE_BYTES) -> None:
    """Write what `AutoModelForCausalLM.from_pretrained` loads. All ranks take part, the first one writes.

    Whole tensors are gathered one after another, and leave memory with each file of at most `file_bytes` or one tensor.

    Raises:
        UserError: on the first rank, when the disk refuses.
    """
    try:
        _save(policy, folder, file_bytes, first=ranks.is_first())
    except (OSError, SafetensorError) as error:
        raise run_folder.disk_error(folder, error if isinstance(error, OSError) else str(error)) from error
    ranks.barrier()


def _save(policy: Policy, folder: Path, file_bytes: int, *, first: bool) -> None:
    if first:
        folder.mkdir(parents=True, exist_ok=True)
        policy.save_description(folder)
    files: list[dict[str, int]] = []
    held: dict[str, Tensor] = {}

    def write() -> None:
        if first and held:
            save_file(held, folder / f"{len(files):05d}.safetensors", metadata={"format": "pt"})
            files.append({name: tensor.nbytes for name, tensor in held.items()})
        held.clear()

    for name, tensor in full_tensors(policy.model):
        if held and sum(t.nbytes for t in held.values()) + tensor.nbytes > file_bytes:
            write()
        if first:
            held[name] = tensor.contiguous().cpu()
    write()
    if first:
        run_folder.readable_as_the_others(folder)
        _rename_files(folder, files)


def _rename_files(folder: Path, files: list[dict[str, int]]) -> None:
    """Give the files the names that transformers looks for, with an index when there are several."""
    if len(files) == 1:
        (folder / "00000.safetensors").replace(folder / "model.safetensors")
        return
    names = [f"model-{i + 1:05d}-of-{len(files):05d}.safetensors" for i in range(len(files))]
    for i, name in enumerate(names):
        (folder / f"{i:05d}.safetensors").replace(folder / name)
    index = {
        "metadata": {"total_size": sum(size for file in files for size in file.values())},
        "weight_map": {tensor: name for name, file in zip(names, files, strict=True) for tensor in file},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")

"""Run folders without a run: checkpoints with any content that are whole, and what is done to them."""

from pathlib import Path
from typing import Any

from rsgrpo import checkpoints, run_folder


def write_checkpoint(run: Path, iteration: int, *, shards: bool = False, content: bytes = b"weights " * 1000) -> Path:
    """A whole checkpoint whose state is one file, or a folder with two shards."""
    path = run_folder.checkpoint(run, iteration)
    unfinished = path.with_name(path.name + run_folder.UNFINISHED)
    state = run_folder.state_of(unfinished)
    files = [state / "__0_0.distcp", state / "__1_0.distcp"] if shards else [state]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content + file.name.encode() + str(iteration).encode())
    checkpoints.finish_checkpoint(unfinished, path, _fingerprints(unfinished), ranks=len(files))
    return path


def describe_anew(path: Path) -> None:
    """Make a checkpoint whole whose files were changed on purpose."""
    manifest = run_folder.read_json(path / run_folder.MANIFEST)
    run_folder.write_json(path / run_folder.MANIFEST, manifest | {"files": _fingerprints(path)})


def _fingerprints(folder: Path) -> dict[str, Any]:
    return {name: checkpoints.fingerprint(folder / name) for name in checkpoints.files_of(folder)}


def flip_a_byte(file: Path) -> None:
    """Change one bit in the middle of a file: its size stays."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))

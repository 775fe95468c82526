"""The run folder: the documented interface between a run and everything that looks at it later.

`docs/run_folder.md` describes every file. Writers append JSON Lines, one record a line, each with its `iteration`;
readers in `analysis/` use nothing else.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rsgrpo.types import UserError

FORMAT = 1
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
POLICY = "policy"
DONE = "done.json"
AUDIT = "audit.json"
BANDIT = "bandit.json"
LEMMAS = "lemmas.json"
SCORES = "scores.jsonl"
FIGURES = "figures"

RECORDS = (METRICS, PROMPTS, ROLLOUTS, VALIDATION, TEST)
"""The JSON Lines files."""


_CHECKPOINT = re.compile(r"iteration_(\d+)\.ckpt")


def checkpoint(run: Path, iteration: int) -> Path:
    """Where the checkpoint written after `iteration` lies."""
    return run / CHECKPOINTS / f"iteration_{iteration:06d}.ckpt"


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(path for path in (run / CHECKPOINTS).glob("*.ckpt") if _CHECKPOINT.fullmatch(path.name))


def iteration_of(path: Path) -> int:
    """Iterations that were finished when the checkpoint at `path` was written."""
    match = _CHECKPOINT.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


def find_checkpoint(ckpt: str) -> tuple[Path, Path]:
    """(run folder, checkpoint) of `ckpt=`: a run folder stands for its newest checkpoint, a file for itself.

    Raises:
        UserError: when there is none.
    """
    path = Path(ckpt).resolve()
    if path.is_file() and _CHECKPOINT.fullmatch(path.name):
        return path.parent.parent, path
    if not path.is_dir():
        raise UserError(f"ckpt={ckpt}: no such run folder or checkpoint; name a folder that a run has written")
    found = checkpoints(path)
    if not found:
        raise UserError(
            f"ckpt={ckpt}: no checkpoint in {path / CHECKPOINTS}; name a run that saved one "
            "(callbacks.checkpoint.every), or start again"
        )
    return path, found[-1]


def append(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append records to a JSON Lines file, making its folder on first use."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def read_json(file: Path) -> Any:
    """The content of a file that is one JSON value."""
    return json.loads(file.read_text(encoding="utf-8"))


def write_json(file: Path, content: Any, *, indent: int | None = 1) -> None:
    """Write a file that is one JSON value."""
    file.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


def read(file: Path) -> list[dict[str, Any]]:
    """All records of a JSON Lines file, without a last one that was cut short; none when there is no such file."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]


def rewind(run: Path, iteration: int) -> None:
    """Drop every record made after `iteration`: a resumed run writes them again."""
    for file in (run / name for name in RECORDS):
        if file.exists():
            whole = [line for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
            kept = [line for line in whole if json.loads(line)["iteration"] <= iteration]
            temporary = file.with_suffix(".rewound")
            temporary.write_bytes(b"".join(kept))
            temporary.replace(file)
    (run / DONE).unlink(missing_ok=True)

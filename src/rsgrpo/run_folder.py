"""The run folder: the documented interface between a run and everything that looks at it later.

`docs/run_folder.md` describes every file. Writers append JSON Lines, one record a line, each with its `iteration`;
readers in `analysis/` use nothing else.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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

RECORDS = (METRICS, PROMPTS, ROLLOUTS, VALIDATION, TEST)
"""The JSON Lines files."""


def append(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append records to a JSON Lines file, making its folder on first use."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def read(file: Path) -> list[dict[str, Any]]:
    """All records of a JSON Lines file; none when there is no such file."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def rewind(run: Path, iteration: int) -> None:
    """Drop every record made after `iteration`: a resumed run writes them again."""
    for file in (run / name for name in RECORDS):
        if file.exists():
            kept = [line for line in file.read_bytes().splitlines(keepends=True) if _iteration(line) <= iteration]
            temporary = file.with_suffix(".rewound")
            temporary.write_bytes(b"".join(kept))
            temporary.replace(file)
    (run / DONE).unlink(missing_ok=True)


def _iteration(line: bytes) -> float:
    """The iteration of a record; infinity for a last line that a crash cut short."""
    try:
        return float(json.loads(line)["iteration"])
    except ValueError:
        return float("inf")

"""Labelled cases: a gold answer, an answer, and whether they are the same by mathematics and the field's notation.

`cases/KIND.jsonl` has one case a line: `gold`, `answer` (what stands in the box; or `response`, a whole text with its
box), `expected` (the right verdict), `why`. A case marked `convention` has no verdict by mathematics alone: its label
is what docs/rewards.md says.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from rsgrpo.verification.boxes import last_boxed

CASES = Path(__file__).parent / "cases"
KINDS = tuple(sorted(path.stem for path in CASES.glob("*.jsonl")))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of a file of cases."""

    gold: str
    expected: bool
    why: str
    answer: str = ""
    response: str = ""
    convention: bool = False

    @property
    def boxed(self) -> str:
        """What is compared with the gold."""
        return (last_boxed(self.response) or "") if self.response else self.answer


def cases(kind: str) -> list[Case]:
    """The cases of a kind."""
    with (CASES / f"{kind}.jsonl").open(encoding="utf-8") as file:
        return [Case(**json.loads(line)) for line in file]

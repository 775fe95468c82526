"""One dataset of problems with gold answers: where it is, which columns count, and its quirks."""

import math
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsgrpo.data.cleaning import LACKS
from rsgrpo.data.fields import Asked, Gold, gold_of, problem_at
from rsgrpo.data.hub import HubTable
from rsgrpo.data.rows import Row, read_rows, top, value_at
from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.types import Problem

ID = "id"
"""The column that names a problem, where a file has it."""

UNWRAPPED = "unwrapped"
"""The fact of a problem that lacks the wrapper its dataset is expected to have."""


def check_columns(columns: object) -> None:
    """Refuse `columns` that do not map `problem` and `answer` to a column each.

    Raises:
        FieldError: naming the field.
    """
    names = dict(columns) if isinstance(columns, Mapping) else {}
    unknown = next((name for name in names if name not in ("problem", "answer")), None)
    if unknown is not None:
        key = f"columns.{unknown}"
        raise FieldError(key, names[unknown], "is neither a problem nor an answer", f"remove {key}")
    if names.keys() != {"problem", "answer"} or not all(isinstance(name, str) and name for name in names.values()):
        lacks = next((name for name in ("problem", "answer") if not names.get(name)), "problem")
        raise FieldError("columns", columns, "must name a problem and an answer", f"try columns.{lacks}={lacks}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemTable(ABC):
    """Base of what reads a split of a dataset on the Hugging Face hub, or a local copy of it, as problems.

    Raises:
        FieldError: for a value that does not make sense.
    """

    name: str
    """Prefix of the problems' ids, and their `facts["dataset"]`."""
    hub: str | None = None
    """Id on the hub, or a folder laid out as there."""
    config: str | None = None
    """Which of the hub's configurations, where it has several."""
    hub_split: str = "train"
    revision: str = "main"
    """Branch, tag or commit on the hub."""
    path: str | None = None
    """A local file instead of the hub: .jsonl, .json, .parquet or .csv."""
    columns: Mapping[str, str] = field(default_factory=lambda: {"problem": "problem", "answer": "answer"})
    """The columns of `problem` and `answer`; dotted into structs and lists, such as `prompt.0.content`."""
    rows: int | None = None
    """How many rows to read, from the first one on; None is all."""
    strip_before: str = ""
    """Text before every problem, which is removed."""
    strip_after: str = ""
    """Text after every problem, which is removed."""
    answer_after: str | None = None
    """The mark that the answer follows in its column."""
    answer_strip: str = ""
    """Text at the end of an answer, removed where it is there."""

    def __post_init__(self) -> None:
        check_fields(self, rows=(1, math.inf))
        check_columns(self.columns)
        if not self.name:
            raise FieldError("name", self.name, "is empty", "give the dataset a name")
        if not (self.hub or self.path):
            raise FieldError("hub", self.hub, "names no dataset", "give a hub id, or a local file with path=...")

    def read(self, *, key: str, cache_dir: Path) -> list[Problem]:
        """All problems in the order of the file; an empty problem or answer is kept, as "".

        A problem is named by the `id` of a local file, or else by its row. `key` is what goes before a field of
        this dataset in a message: "tests.aime24." for a test set, "" for the train set.

        Raises:
            UserError: when it cannot be read, or a row lacks a column.
        """
        problems = [self._problem(row, key) for row in self._rows(key, cache_dir)]
        refuse_shared_ids(problems)
        return problems

    def source(self, *, key: str, cache_dir: Path) -> str:
        """Where the problems come from, for the record: a file, or an id of the hub with its commit."""
        if self.path is not None:
            return str(Path(self.path).expanduser().resolve())
        commit = self._table().commit(cache_dir, key)
        return str(self.hub) if commit is None else f"{self.hub}@{commit}"

    def _rows(self, key: str, cache_dir: Path) -> list[Row]:
        if self.path is not None:
            columns = (*self.columns.values(), ID)
            return read_rows(Path(self.path).expanduser(), f"{key}path", columns=columns, first=self.rows)
        return self._table().read(cache_dir, key)

    def _table(self) -> HubTable:
        return HubTable(
            hub=str(self.hub),
            config=self.config,
            split=self.hub_split,
            revision=self.revision,
            columns=tuple(dict.fromkeys(map(top, self.columns.values()))),
            rows=self.rows,
        )

    def _problem(self, row: Row, key: str) -> Problem:
        columns = self.columns
        text, messages = problem_at(row, columns["problem"], f"{key}columns.problem")
        facts: dict[str, Any] = {"dataset": self.name}
        if messages:
            pass  # a conversation stays as it stands
        elif text and not (text.startswith(self.strip_before) and text.endswith(self.strip_after)):
            facts[UNWRAPPED] = True
        else:
            text = text.removeprefix(self.strip_before).removesuffix(self.strip_after)
        value = value_at(row, columns["answer"], f"{key}columns.answer")
        if self.answer_after is not None and isinstance(value, str) and value.strip():
            if self.answer_after not in value:
                raise UserError(
                    f"{row.origin}: the answer has no {self.answer_after!r}; where all of it is the answer, set "
                    f"{key}answer_after=null"
                )
            value = value.rsplit(self.answer_after, 1)[1].strip()
        gold = gold_of(value, row, columns["answer"], f"{key}columns.answer")
        answer = gold.text.removesuffix(self.answer_strip).rstrip() if self.answer_strip else gold.text
        return problem_of(row, self.name, Asked(text, messages), gold._replace(text=answer), facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(ProblemTable):
    """One dataset by itself: a test set, for example."""


def problem_of(row: Row, name: str, asked: Asked, gold: Gold, facts: Mapping[str, Any]) -> Problem:
    """A problem of the dataset `name`, named by the `id` of its row, or else by its number."""
    lacks = {} if gold.why is None else {LACKS: gold.why}
    return Problem(
        id=f"{name}/{id_of(row)}",
        text=asked.text,
        answer=gold.text,
        origin=row.origin,
        facts={**facts, **lacks},
        messages=asked.messages,
    )


def id_of(row: Row) -> object:
    """The `id` of a row, or else its number."""
    named = row.values.get(ID)
    return row.number if named is None or named != named else named  # NaN: as others write an empty cell


def refuse_shared_ids(problems: list[Problem]) -> None:
    """Every problem needs an id of its own: records of runs are kept by it.

    Raises:
        UserError: naming both rows.
    """
    origin_of: dict[str, str] = {}
    for problem in problems:
        if problem.id in origin_of:
            raise UserError(f"{problem.origin} has the id of {origin_of[problem.id]}; give every problem its own id")
        origin_of[problem.id] = problem.origin

"""Problems from files of your own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rsgrpo.data import cleaning
from rsgrpo.data.cleaning import CleanSplit
from rsgrpo.data.dataset import ID, check_columns, problem_of, refuse_shared_ids
from rsgrpo.data.fields import gold_of, problem_at
from rsgrpo.data.rows import FORMATS, Row, read_rows, value_at
from rsgrpo.data.source import Split
from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.types import Problem


@dataclass(frozen=True, kw_only=True)  # no slots: what was read is kept
class Local:
    """One problem a row, with its gold answer: `{"problem": "What is 1 + 1?", "answer": "2"}`.

    Every row is checked before anything runs. The train set is cleaned; of validation and test, problems without an
    answer are left out.

    Raises:
        FieldError: when no path is given, or the columns do not make sense.
    """

    path: str
    """The training problems: a .jsonl, .json, .parquet or .csv file."""
    validation_path: str | None = None
    test_path: str | None = None
    columns: Mapping[str, str] = field(default_factory=lambda: {"problem": "problem", "answer": "answer"})
    """The columns of `problem` and `answer`; dotted into structs and lists, such as `prompt.0.content`."""
    decontaminate: bool = True
    """Leave out the train problems whose text is in the validation or the test file."""
    suffix: str = ""
    """Appended to every problem that is no conversation."""
    max_prompt_tokens: int | None = None
    """Prompts with more tokens are dropped."""

    def __post_init__(self) -> None:
        check_fields(self, max_prompt_tokens=(1, math.inf))
        check_columns(self.columns)
        if not self.path:
            raise FieldError("path", self.path, "is empty", f"name {FORMATS}")

    def split(self, name: Split) -> list[Problem]:
        """The problems of `train`, `validation` or `test`; empty when no file was named for it.

        Raises:
            UserError: naming the file, and the row, that is missing or malformed.
        """
        return cleaning.with_suffix(self._read_split(name).problems, self.suffix)

    def removed(self, name: Split) -> Mapping[str, int]:
        """How many problems of a split were left out, by reason."""
        return self._read_split(name).removed

    def _read_split(self, name: Split) -> CleanSplit:
        return self._train if name == "train" else CleanSplit(*cleaning.without_empty(self._read(f"{name}_path")))

    @cached_property
    def _train(self) -> CleanSplit:
        kept, removed = cleaning.clean(self._read("path"))
        if self.decontaminate:
            for reason, key in ((cleaning.IN_VALIDATION, "validation_path"), (cleaning.IN_TEST, "test_path")):
                kept, removed[reason] = cleaning.without_overlap(kept, self._read(key))
        if not kept:
            overlaps = removed.get(cleaning.IN_TEST) or removed.get(cleaning.IN_VALIDATION)
            keep = ", or keep those of the tests with decontaminate=False" if overlaps else ""
            raise UserError(
                f"path={self.path}: cleaning left nothing to train on ({cleaning.in_words(removed)}); name a file "
                f"with other problems{keep}"
            )
        return CleanSplit(kept, cleaning.positive(removed))

    def _read(self, key: str) -> list[Problem]:
        if getattr(self, key) is None:
            return []
        path = Path(getattr(self, key)).expanduser()
        rows = read_rows(path, key, columns=(*self.columns.values(), ID))
        problems = [self._problem(row, path.stem) for row in rows]
        refuse_shared_ids(problems)
        return problems

    def _problem(self, row: Row, name: str) -> Problem:
        asked = problem_at(row, self.columns["problem"], "columns.problem")
        column, key = self.columns["answer"], "columns.answer"
        return problem_of(row, name, asked, gold_of(value_at(row, column, key), row, column, key), {"dataset": name})

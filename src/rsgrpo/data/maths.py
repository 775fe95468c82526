"""Maths: a train set, problems held out of it for validation, and test sets without any problem of the train set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rsgrpo.data import cleaning
from rsgrpo.data.cleaning import CleanSplit
from rsgrpo.data.dataset import Dataset, ProblemTable
from rsgrpo.data.source import Split
from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.types import Problem


@dataclass(frozen=True, kw_only=True)  # no slots: what was read is kept
class Maths(ProblemTable):
    """The data source behind `data=math12k` and its like: the train set's own fields, and what goes with it.

    The test sets are the benchmarks as they were published, without the problems that lack an answer; only the train
    set is cleaned.

    Raises:
        FieldError: for a value that does not make sense.
    """

    tests: Mapping[str, Dataset] = field(default_factory=dict)
    """The test sets; each problem's `facts["dataset"]` says which it is of."""
    validation: int = 128
    """How many of the train problems are held out for validation, chosen by their text alone."""
    decontaminate: bool = True
    """Leave out the train problems whose text is in a test set."""
    suffix: str = ""
    """Appended to every problem that is no conversation."""
    max_prompt_tokens: int | None = None
    """Prompts with more tokens are dropped."""
    cache_dir: str = "~/.cache/rsgrpo/data"
    """Where what came from the hub is kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, max_prompt_tokens=(1, math.inf), validation=(0, math.inf))
        names = [dataset.name for dataset in (self, *self.tests.values())]
        shared = next((name for name in names if names.count(name) > 1), None)
        if shared is not None:
            raise FieldError("name", shared, "is the name of two datasets", "give each its own name")

    def split(self, name: Split) -> list[Problem]:
        """The problems of `train`, `validation` or `test`; a test split is read without the train set.

        Raises:
            UserError: when a dataset cannot be read, or holds too little.
        """
        return self._read_split(name).problems

    def removed(self, name: Split) -> Mapping[str, int]:
        """How many problems of a split were left out, by reason."""
        return self._read_split(name).removed

    def sources(self) -> Mapping[str, str]:
        """Where each dataset comes from, for the record."""
        cache_dir = Path(self.cache_dir).expanduser()
        keys = {"": self, **{f"tests.{name}.": test for name, test in self.tests.items()}}
        return {dataset.name: dataset.source(key=key, cache_dir=cache_dir) for key, dataset in keys.items()}

    def _read_split(self, name: Split) -> CleanSplit:
        if name == "test":
            return CleanSplit(self._with_suffix(self._tests.problems), self._tests.removed)
        return self._train_and_validation[name]

    @cached_property
    def _tests(self) -> CleanSplit:
        """All test sets, one after the other."""
        found = [problem for name, test in self.tests.items() for problem in self._read(test, f"tests.{name}.")]
        return CleanSplit(*cleaning.without_empty(found))

    @cached_property
    def _train_and_validation(self) -> Mapping[str, CleanSplit]:
        kept, removed = cleaning.clean(self._read(self, ""))
        if self.decontaminate:
            kept, removed[cleaning.IN_TEST] = cleaning.without_overlap(kept, self._tests.problems)
        if self.validation >= len(kept):
            raise UserError(
                f"validation={self.validation} leaves nothing to train on of {len(kept)} problems; try "
                f"validation={len(kept) // 10}"
            )
        train, validation = cleaning.hold_out(kept, self.validation)
        removed[cleaning.HELD_OUT] = len(validation)
        return {
            "train": CleanSplit(self._with_suffix(train), cleaning.positive(removed)),
            "validation": CleanSplit(self._with_suffix(validation), {}),
        }

    def _read(self, dataset: ProblemTable, key: str) -> list[Problem]:
        return dataset.read(key=key, cache_dir=Path(self.cache_dir).expanduser())

    def _with_suffix(self, problems: list[Problem]) -> list[Problem]:
        return cleaning.with_suffix(problems, self.suffix)

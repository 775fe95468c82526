"""Problems of the task families of the package reasoning-gym, generated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any

from rsgrpo.data import cleaning
from rsgrpo.data.cleaning import CleanSplit
from rsgrpo.data.reasoning_gym_generator import Share, Wanted, generate
from rsgrpo.data.source import Split
from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields
from rsgrpo.types import Problem
from rsgrpo.verification import families


@dataclass(frozen=True, kw_only=True)  # no slots: what was generated is kept
class ReasoningGym:
    """Problems of one task family, or of several in turns, with their gold answers.

    The test problems are drawn first, then those of validation, then those of the train set, each from a seed of its
    own. A question that came before is left out and counted as repeated, so no two splits share one.

    Raises:
        UserError: where the package is not installed.
        FieldError: for a family or a setting that does not exist.
    """

    task: str | Sequence[str]
    """A family, or a list of families with the same number of problems each."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The family's own, such as `max_numbers`; by family where there are several."""
    seed: int = 0
    """Fixes the problems: part of the task, not of a run."""
    train: int = 2000
    """Problems of the split; likewise below."""
    validation: int = 128
    test: int = 256
    suffix: str = ""
    """Appended to every problem."""
    max_prompt_tokens: int | None = None
    """Prompts with more tokens are dropped."""

    def __post_init__(self) -> None:
        at_least = {"seed": 0, "train": 1, "validation": 0, "test": 0, "max_prompt_tokens": 1}
        check_fields(self, **{name: (least, math.inf) for name, least in at_least.items()})
        if not self.task:
            raise FieldError("task", self.task, "names no family", "name one, countdown for example")
        for family in self._families:
            families.check_family("task", family)
        if isinstance(self.task, str):
            families.check_settings("settings", self.task, self.settings)
            return
        for family, settings in self.settings.items():
            key = f"settings.{family}"
            if family not in self._families:
                problem = f"is for none of the families of task: {', '.join(self._families)}"
                raise FieldError(key, settings, problem, "put the family before the setting")
            if not isinstance(settings, Mapping):
                raise FieldError(key, settings, "must be settings", f"try {key}={{}}")
            families.check_settings(key, family, settings)

    def split(self, name: Split) -> list[Problem]:
        """The problems of `train`, `validation` or `test`.

        Raises:
            FieldError: when a family has too few different problems.
        """
        return cleaning.with_suffix(self._drawn(name).problems, self.suffix)

    def removed(self, name: Split) -> Mapping[str, int]:
        """How many questions were drawn again, and left out."""
        return self._drawn(name).removed

    @property
    def _families(self) -> list[str]:
        return [self.task] if isinstance(self.task, str) else list(dict.fromkeys(self.task))

    def _settings_of(self, family: str) -> Mapping[str, Any]:
        return self.settings if isinstance(self.task, str) else self.settings.get(family, {})

    def _drawn(self, name: Split) -> CleanSplit:
        match name:
            case "test":
                return self._test
            case "validation":
                return self._validation
            case "train":
                return self._train

    @cached_property
    def _test(self) -> CleanSplit:
        return self._draw("test", [])

    @cached_property
    def _validation(self) -> CleanSplit:
        return self._draw("validation", self._test.problems)

    @cached_property
    def _train(self) -> CleanSplit:
        return self._draw("train", [*self._test.problems, *self._validation.problems])

    def _draw(self, name: Split, others: Sequence[Problem]) -> CleanSplit:
        size, count = getattr(self, name), len(self._families)
        shares = [
            Share(family, self._settings_of(family), size // count + (place < size % count))
            for place, family in enumerate(self._families)
        ]
        known = frozenset(problem.text for problem in others)
        drawn = generate(Wanted(name, self.seed, shares, known)) if size else []
        for share, (entries, _) in zip(shares, drawn, strict=False):
            if len(entries) < share.count:
                raise _too_few(name, size, share, len(entries) * count, len(others))
        by_family = [
            [_problem(share, name, number, entry) for number, entry in enumerate(entries)]
            for share, (entries, _) in zip(shares, drawn, strict=False)
        ]
        in_turns = [problem for row in zip_longest(*by_family) for problem in row if problem is not None]
        return CleanSplit(in_turns, cleaning.positive({cleaning.REPEATED: sum(one.repeated for one in drawn)}))


def _too_few(name: Split, size: int, share: Share, most: int, others: int) -> FieldError:
    """What is said where a family has no more problems; `most` is the size of the split that it would be enough for."""
    besides = f" besides the {others:,} problems of other splits" if others else ""
    found = most if name == "train" else most // 2  # and some for the splits after it
    return FieldError(
        name,
        size,
        f"is more than {share.family} has different problems for: at most {most:,}{besides}",
        f"{f'try {name}={found}' if found else 'make the other splits smaller'}, or choose settings with more problems",
    )


def _problem(share: Share, split: Split, number: int, entry: families.Entry) -> Problem:
    facts = {"dataset": share.family, "settings": dict(share.settings), "entry": dict(entry)}
    difficulty = entry["metadata"].get("difficulty")
    return Problem(
        id=f"reasoning_gym/{share.family}/{split}/{number}",
        text=entry["question"],
        answer="" if entry["answer"] is None else str(entry["answer"]),
        facts=facts if difficulty is None else facts | {"difficulty": difficulty},
    )

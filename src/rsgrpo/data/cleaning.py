"""What is left out of a train set, and how many: pure functions from problems to (those kept, number left out)."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rsgrpo.seeds import derive_seed
from rsgrpo.types import Problem

Kept = tuple[list[Problem], int]
"""The problems that stay, in their order, and how many do not."""

# Why problems are left out; read after their number.
EMPTY = "with an empty problem or answer"
CONFLICTING = "with differing answers"
REPEATED = "repeated"
IN_TEST = "also in a test set"
IN_VALIDATION = "also in the validation set"
HELD_OUT = "kept for validation"


@dataclass(frozen=True, slots=True)
class CleanSplit:
    """A split as it is used: its problems, and how many were left out of it, by reason."""

    problems: list[Problem]
    removed: Mapping[str, int]


_DRESS = re.compile(
    r"""\\[()\[\],;:!]                        # delimiters and spaces of LaTeX
    |\\(?:left|right|displaystyle)(?![a-z])
    |[\\${}~"'\u201c\u201d\u2018\u2019?;:]
    |(?<![0-9])[.,]|[.,](?![0-9])             # punctuation, not 2.5 or (1,2)
    """,
    re.VERBOSE,
)


def normalised(text: str) -> str:
    """A text without its typography: its letters, digits, operators and round brackets.

    What goes: case, white space, punctuation between words, and what LaTeX needs around and between formulas. What
    makes another problem of it stays: signs, decimal points, the border between numerator and denominator.

    >>> normalised("What is $2.5 + \\\\frac{1}{2}$?") == normalised("what is\\n\\\\(2.5+\\\\frac{1}{2}\\\\)")
    True
    >>> normalised("\\\\frac{1}{23}") == normalised("\\\\frac{12}{3}")
    False
    """
    folded = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _DRESS.sub("", folded.replace("}{", "|"))


LACKS = "lacks"
"""The fact of a problem without an answer that says why, to be read after a number: one of the reasons of a `Gold`."""


def without_empty(problems: Sequence[Problem]) -> tuple[list[Problem], dict[str, int]]:
    """The problems that have a text and an answer, and how many were left out, by reason: they cannot be rewarded."""
    kept, left_out = [], defaultdict(list)
    for problem in problems:
        if problem.text.strip() and problem.answer.strip():
            kept.append(problem)
        else:
            left_out[problem.facts.get(LACKS, EMPTY)].append(problem.origin or problem.id)
    return kept, {for_example(reason, origins[0]): len(origins) for reason, origins in left_out.items()}


def for_example(reason: str, example: str) -> str:
    """A reason why problems are left out, with one of them."""
    return f"{reason} (for example {example})"


def without_conflicts(problems: Sequence[Problem]) -> Kept:
    """Without any of the problems that share their text and differ in their answer: one of them is wrong."""
    answers = defaultdict(set)
    for problem in problems:
        answers[normalised(problem.text)].add(normalised(problem.answer))
    kept = [problem for problem in problems if len(answers[normalised(problem.text)]) == 1]
    return kept, len(problems) - len(kept)


def without_repeats(problems: Sequence[Problem]) -> Kept:
    """The first of the problems that share both text and answer."""
    first: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        first.setdefault((normalised(problem.text), normalised(problem.answer)), problem)
    return list(first.values()), len(problems) - len(first)


def without_overlap(problems: Sequence[Problem], others: Iterable[Problem]) -> Kept:
    """Without the problems whose text is that of one of `others`, whatever its answer."""
    texts = {normalised(problem.text) for problem in others}
    kept = [problem for problem in problems if normalised(problem.text) not in texts]
    return kept, len(problems) - len(kept)


def clean(problems: Sequence[Problem]) -> tuple[list[Problem], dict[str, int]]:
    """Without empty, conflicting and repeated problems; and how many were left out for each reason."""
    full, lacking = without_empty(problems)
    agreed, conflicts = without_conflicts(full)
    distinct, repeats = without_repeats(agreed)
    return distinct, lacking | {CONFLICTING: conflicts, REPEATED: repeats}


def hold_out(problems: Sequence[Problem], count: int) -> tuple[list[Problem], list[Problem]]:
    """(the others, the `count` problems with the smallest hashes of their text), both in their order.

    A problem's hash is the same in every run and whatever else the set holds, so a larger set moves few of them.
    """
    smallest = sorted(problems, key=lambda problem: derive_seed("validation", normalised(problem.text)))[:count]
    ids = {problem.id for problem in smallest}
    return [p for p in problems if p.id not in ids], [p for p in problems if p.id in ids]


def positive(removed: Mapping[str, int]) -> dict[str, int]:
    """The reasons for which anything was left out."""
    return {reason: count for reason, count in removed.items() if count}


def with_suffix(problems: Sequence[Problem], suffix: str) -> list[Problem]:
    """The problems as the policy is asked them; after cleaning, which compares texts. A conversation stays as it is."""
    return [p if p.messages else replace(p, text=p.text + suffix) for p in problems]


def in_words(removed: Mapping[str, int]) -> str:
    """The counts as a list to be read: `2 repeated, 1 also in a test set`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in positive(removed).items())

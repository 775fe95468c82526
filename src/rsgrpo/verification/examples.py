"""One line of a rule's table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A gold answer, an answer, whether the two are equal, and why."""

    gold: str
    answer: str
    equal: bool
    why: str


def equal(gold: str, answer: str, why: str) -> Example:
    """The two are equal."""
    return Example(gold, answer, True, why)


def different(gold: str, answer: str, why: str) -> Example:
    """The two are not."""
    return Example(gold, answer, False, why)

"""What is wrong with what the user asked for: one sentence that names the field or the key, and the cure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

SHOWN = 120
"""Characters of a value that a message repeats."""


class UserError(Exception):
    """A mistake in what the user asked for: one clear sentence that names the key and the cure."""


class FieldError(ValueError):
    """A configuration field with a value that its class refuses.

    The class knows its own field, not the key under which it was configured; the command line joins the two:
    `FieldError("beta", nan, "must be finite", "try beta=2")` raised under `objective` is shown as
    `objective.beta=nan must be finite; try objective.beta=2`.
    """

    def __init__(self, name: str, value: object, problem: str, cure: str) -> None:
        self.name, self.value, self.problem, self.cure = name, value, problem, cure
        super().__init__(f"{name}={_shown(value)} {problem}; {cure}")


def keyed(error: FieldError, prefix: str) -> str:
    """The message of a refused field under the key that it was configured as, in the cure too.

    >>> keyed(FieldError("beta", "abc", "must be a number", "try beta=2"), "objective")
    'objective.beta=abc must be a number; try objective.beta=2'
    """
    start = f"{prefix}." if prefix else ""
    cure = re.sub(
        rf"(?<![\w.])({re.escape(error.name)}(?:\.\w+)*=|(?<=remove ){re.escape(error.name)}\b)",
        rf"{start}\1",
        error.cure,
    )
    return f"{start}{error.name}={_shown(error.value)} {error.problem}; {cure}"


@contextmanager
def field_errors_name_their_key(prefix: str) -> Iterator[None]:
    """Turn the `FieldError` of a class into the `UserError` of the key it was configured under."""
    try:
        yield
    except FieldError as error:
        raise UserError(keyed(error, prefix)) from error


def _shown(value: object) -> str:
    """A value as a message repeats it: on one line, and not longer than a line or two."""
    text = str(value)
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

"""Answers that are a list of whole numbers, as some of the generated tasks ask for."""

import re

from rsgrpo.verification.boxes import last_boxed

_NUMBER = re.compile(r"[0-9]{1,9}")


def whole_numbers(boxed: str) -> list[int] | None:
    """The whole numbers of a box, with white space between them; None for anything else, or none.

    >>> whole_numbers(" 12 3 9 "), whole_numbers("12, 3"), whole_numbers("")
    ([12, 3, 9], None, None)
    """
    words = boxed.split()
    return [int(word) for word in words] if words and all(map(_NUMBER.fullmatch, words)) else None


def boxed_numbers(text: str) -> list[int] | None:
    """The whole numbers of the last box of a text; None where there is none."""
    boxed = last_boxed(text)
    return None if boxed is None else whole_numbers(boxed)

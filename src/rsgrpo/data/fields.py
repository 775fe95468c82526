r"""What a field of a row means: the text of a problem, and the answer alone where it stands in a list or a solution.

A gold answer is rarely as bare as a reward needs it. `0.00001` in JSON or a Parquet file is a number and not the text
`1e-05`, NaN is not an answer, and `#### 5`, `Answer: 5` and a solution with a \boxed{5} mean 5.
"""

import ast
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from rsgrpo.data.rows import Row, in_digits, text_of, value_at
from rsgrpo.errors import UserError
from rsgrpo.verification.boxes import last_boxed

NO_NUMBER = "with NaN or infinity instead of an answer"
SEVERAL = "with a list of several answers"
RECORD = "with a record instead of an answer"

_SCIENTIFIC = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)[eE][+-]?\d+\s*")
_NO_NUMBER = re.compile(r"\s*(?:[+-]?(?:nan|inf)\.?|<NA>|NaT)\s*", re.IGNORECASE)
_MARKED = re.compile(r"^[ \t]*####[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_LABELLED = re.compile(
    r"(?:(?:^|[.!?:,*\s])answer|^[ \t*]*(?:the[ \t]+|final[ \t]+)*(?:ans|result|solution))"
    r"[ \t*]*(?:\bis\b[ \t]*:?|:|=|(?<=\bans)\.)[ \t*]*(?=\S)",
    re.MULTILINE | re.IGNORECASE,
)
_NEXT_SENTENCE = re.compile(r"\.\s+(?=[A-Z])")


class Gold(NamedTuple):
    """An answer; where there is none, why, to be read after a number: `with a list of several answers`."""

    text: str
    why: str | None = None


def gold_of(value: Any, row: Row, column: str, key: str) -> Gold:
    """The answer that a value in a column is; the text is empty where there is none. `key` is where it is configured.

    Raises:
        UserError: naming the row and the column, for what is neither text nor a number nor a list of them.
    """
    if isinstance(value, list):
        golds = list(dict.fromkeys(gold_of(item, row, column, key) for item in value))
        return Gold("", SEVERAL) if len(golds) > 1 else golds[0] if golds else Gold("")
    _refuse_struct(value, row, column, key)
    text = _unless_blank(text_of(value, row, column))
    if not isinstance(value, str):
        return Gold(text, None if text or value is None else NO_NUMBER)
    if _NO_NUMBER.fullmatch(text):
        return Gold("", NO_NUMBER)
    if _SCIENTIFIC.fullmatch(text):
        return Gold(in_digits(Decimal(text.strip())))
    spelled = _spelled_out(text)
    if isinstance(spelled, list):
        return gold_of(spelled, row, column, key)
    return Gold("", RECORD) if isinstance(spelled, dict) else Gold(answer_in(text))


def problem_at(row: Row, column: str, key: str) -> str:
    """The text of a problem, in a message of the user if need be; empty where there is none.

    Raises:
        UserError: naming the row and the column, for what is neither text, a number, nor one message.
    """
    value = value_at(row, column, key)
    if isinstance(value, list):
        first = value[0] if value else None
        if not (isinstance(first, Mapping) and isinstance(first.get("content"), str)):
            raise UserError(
                f"{row.origin}: field {column!r} is a list; name the part that is the problem: {key}={column}.0"
            )
        if len(value) > 1 or first.get("role") != "user":
            last = len(value) - 1
            raise UserError(
                f"{row.origin}: field {column!r} holds {len(value)} messages, and a problem is one of the user; name "
                f"it: {key}={column}.{last}.content"
            )
        value = first["content"]
    _refuse_struct(value, row, column, key)
    return _unless_blank(text_of(value, row, column))


def answer_in(text: str) -> str:
    r"""The answer alone of a text that may be a whole solution: its last box, or what follows its mark or its label.

    >>> answer_in("2 + 3 = 5\n#### 5"), answer_in("Answer: 5"), answer_in(r"x = 5. \boxed{5} QED"), answer_in("x = 5")
    ('5', '5', '5', 'x = 5')
    """
    box = last_boxed(text)
    if box is not None and box.strip():
        return box.strip()
    marked = _MARKED.findall(text)
    if marked:
        return marked[-1]
    labels = list(_LABELLED.finditer(text))
    if labels:
        line = text[labels[-1].end() :].splitlines()[0]
        return _NEXT_SENTENCE.split(line)[0].rstrip(" \t*").removesuffix(".")
    return text


def _spelled_out(text: str) -> list[Any] | dict[Any, Any] | None:
    """The list of texts, or the record, that a text spells out as JSON or as Python prints it."""
    if not re.match(r"""\s*[\[{]\s*["']""", text):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, dict) or (isinstance(found, list) and all(isinstance(item, str) for item in found)):
            return found
    return None


def _refuse_struct(value: Any, row: Row, column: str, key: str) -> None:
    if isinstance(value, Mapping) and value:
        parts = ", ".join(map(repr, value))
        raise UserError(
            f"{row.origin}: field {column!r} has parts ({parts}); name the right one with "
            f"{key}={column}.{next(iter(value))}"
        )


def _unless_blank(text: str) -> str:
    return text if text.strip() else ""

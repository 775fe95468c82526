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

from rsgrpo.data.prompting import SYSTEM, USER
from rsgrpo.data.rows import Row, in_digits, text_of, value_at
from rsgrpo.errors import UserError
from rsgrpo.types import Message
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


class Asked(NamedTuple):
    """What a row asks: a text, and its messages where it is a conversation."""

    text: str
    messages: tuple[Message, ...] = ()


def problem_at(row: Row, column: str, key: str) -> Asked:
    """What a row asks; the text is empty where there is nothing.

    One message of the user is its text. Several are a conversation, whose text is that of its turns without a system
    message: what tells problems apart.

    Raises:
        UserError: naming the row and the column, for what is neither text, a number, nor messages that end with one of
            the user.
    """
    value = value_at(row, column, key)
    if isinstance(value, list):
        messages = _messages(value, row, column, key)
        said = [message.content for message in messages if message.role != SYSTEM]
        if [message.role for message in messages] != [USER]:
            return Asked(_unless_blank("\n\n".join(said)), messages)
        value = said[0]
    _refuse_struct(value, row, column, key)
    return Asked(_unless_blank(text_of(value, row, column)))


def _messages(value: list[Any], row: Row, column: str, key: str) -> tuple[Message, ...]:
    if not value or not all(isinstance(item, Mapping) and isinstance(item.get("content"), str) for item in value):
        raise UserError(
            f"{row.origin}: field {column!r} is a list; name the part that is the problem: {key}={column}.0"
        )
    place = f"{row.origin}: field {column!r}"
    for number, item in enumerate(value):
        more = [name for name in item if name not in ("role", "content") and item[name] is not None]
        if not isinstance(item.get("role"), str) or more:
            lacks = f"has {more[0]!r} too" if more else "has no role"
            raise UserError(f"{place}: message {number} {lacks}; a message has a role and a content, both text")
    messages = tuple(
        Message(item["role"], text_of(item["content"], row, f"{column}.{number}.content"))
        for number, item in enumerate(value)
    )
    if messages[-1].role != USER:
        users = [number for number, message in enumerate(messages) if message.role == USER]
        name = f", or name the problem: {key}={column}.{users[-1]}.content" if users else ""
        raise UserError(
            f"{place} ends with a message of the {messages[-1].role}, and the policy answers the user; end it with one "
            f"of the user{name}"
        )
    return messages


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

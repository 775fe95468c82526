r"""A tidy text cut into tokens: numbers, runs of letters, commands, words in \text, tables, and single marks."""

import re
from dataclasses import dataclass

from rsgrpo.verification.boxes import end_of_group
from rsgrpo.verification.reading.tree import Unreadable

MOST = 1500
"""Tokens of the longest answer that is read."""


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is num, word, command, text, upright, bold, table or mark; `space` whether one stands in front."""

    kind: str
    text: str
    space: bool = False
    body: str = ""


END = Token("end", "")
"""Behind the last token and before the first."""

_TOKEN = re.compile(
    r"(?P<space>\s*)(?:(?P<num>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+(?![\w.]))?)|(?P<table>\\begin\s*\{(?P<env>[A-Za-z]+)\*?\})|"
    r"(?P<font>\\(?:text|mathrm|mathbf)\s*(?=\{))|(?P<command>\\(?:[A-Za-z]+|.))|(?P<word>[A-Za-z]+)|(?P<mark>\S))",
    re.DOTALL,
)
_GROUPED = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d])(?!,\d)")
_FONT = {"text": "text", "mathrm": "upright", "mathbf": "bold"}


def tokens(text: str) -> list[Token]:
    r"""The tokens of a text.

    Raises:
        Unreadable: for braces or tables that stay open, and for texts of more than `MOST` tokens.

    >>> [token.text for token in tokens(r"2\sin x_1")]
    ['2', '\\sin', 'x', '_', '1']
    """
    found: list[Token] = []
    position = 0
    integral = r"\int" in text
    while position < len(text) and (match := _TOKEN.match(text, position)):
        position = match.end()
        space = bool(match["space"])
        if match["font"]:
            end = end_of_group(text, position)
            if end is None:
                raise Unreadable("braces")
            font = _FONT[match["font"].strip().lstrip("\\")]
            found.append(Token(font, text[position + 1 : end - 1].strip(), space))
            position = end
        elif match["table"]:
            end = _end_of_table(text, position, match["env"])
            found.append(Token("table", match["env"], space, text[position:end]))
            position = text.index("}", end) + 1
        elif match["word"] and integral and (cut := re.fullmatch(r"([A-Za-z]*?)(d[a-z])", match["word"])):
            found += [Token("word", part, space) for part in cut.groups() if part]
        else:
            kind = next(kind for kind in ("num", "command", "word", "mark") if match[kind])
            found.append(Token(kind, match[kind], space))
        if len(found) > MOST:
            raise Unreadable("long")
    return found


def _end_of_table(text: str, start: int, name: str) -> int:
    depth = 1
    for match in re.compile(rf"\\(begin|end)\s*\{{{name}\*?\}}").finditer(text, start):
        depth += 1 if match[1] == "begin" else -1
        if depth == 0:
            return match.start()
    raise Unreadable("table")


def grouped(text: str) -> str | None:
    """The text with `1,000` as 1000; None when nothing in it looks so."""
    joined = _GROUPED.sub(lambda m: m[0].replace(",", "") if not m[0].startswith("0") else m[0], text)
    return joined if joined != text else None

r"""Where an answer stands in a text: its last box.

A box in a thought that was never finished is not an answer; one in a finished thought is, unless a later one follows.
"""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_BARE = re.compile(r"[-+]?\d[\d.,/]*(?<![.,/])|[A-Za-z](?![A-Za-z])|\\[A-Za-z]+(?:\s*\[[^\[\]]*\])?")


def last_boxed(text: str) -> str | None:
    r"""The content of the last box of `text`, braces matched; None without one, or when it stays open.

    A box is `\boxed{...}` or `\fbox{...}`, or `\boxed` with a number, a letter or a command and its arguments after it.
    Escaped braces are marks of a set and match nothing.

    >>> given = (r"\boxed{1} then \boxed {\frac{1}{2}}", r"\boxed{1", r"\boxed 7.", "1")
    >>> tuple(last_boxed(text) for text in given)
    ('\\frac{1}{2}', None, '7', None)
    """
    text = spoken(text)
    last = None
    for command in _BOX.finditer(text):
        last = command
    return None if last is None else _content(text, last.end())


def spoken(text: str) -> str:
    """The text without a thought that never ends."""
    opened = text.rfind("<think>")
    return text[:opened] if opened > text.rfind("</think>") else text


def _content(text: str, position: int) -> str | None:
    while text[position : position + 1].isspace():
        position += 1
    if text[position : position + 1] == "{":
        end = end_of_group(text, position)
        return None if end is None else text[position + 1 : end - 1]
    bare = _BARE.match(text, position)
    if bare is None:
        return None
    end = bare.end()
    while bare[0].startswith("\\") and text[end : end + 1] == "{":
        after = end_of_group(text, end)
        if after is None:
            return None
        end = after
    return text[position:end]


def end_of_group(text: str, start: int) -> int | None:
    r"""The position behind the brace that closes the one at `start`; None when it stays open.

    `\{` and `\}` do not count.

    >>> end_of_group(r"{a\{{b}}c", 0), end_of_group("{a", 0)
    (8, None)
    """
    depth = 0
    for mark in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.end()
    return None


_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)

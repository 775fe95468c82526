"""What a process has said before it ended."""

import os
from pathlib import Path

TAIL = 2**16
"""Bytes at the end of a file that hold its last lines."""

NOTHING = "it said nothing"


def last_words(output: str) -> str:
    """Why it ended: its last line that begins with `error`, or else the last that is not blank.

    >>> last_words("loading\\nerror: no such file\\n\\n"), last_words("loading\\n"), last_words("")
    ('error: no such file', 'loading', 'it said nothing')
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()] or [NOTHING]
    return next((line for line in reversed(lines) if line.startswith("error")), lines[-1])


def tail(file: Path) -> str:
    """The end of what was written to a file; nothing where there is none."""
    try:
        with file.open("rb") as content:
            content.seek(max(0, os.fstat(content.fileno()).st_size - TAIL))
            return content.read().decode(errors="replace")
    except FileNotFoundError:
        return ""

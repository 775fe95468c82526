"""Values as Hydra's grammar takes them."""

import re


def quoted(value: str) -> str:
    r"""A value that Hydra takes as it is, whatever characters it holds.

    Backslashes count as such, unless they stand before a quote or at the end.

    >>> print(quoted('a "b"'), quoted("a\\b\\"))
    "a \"b\"" "a\b\\"
    """
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), value)
    return f'"{escaped}"'

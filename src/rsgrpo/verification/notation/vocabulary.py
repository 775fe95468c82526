"""Lists of words, written as text."""


def vocabulary(*lines: str) -> list[str]:
    """The words of some lines.

    >>> vocabulary("a b", "c")
    ['a', 'b', 'c']
    """
    return " ".join(lines).split()

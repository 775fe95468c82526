"""What every reward is, and the one place that finds the answer in a completion."""

from typing import Protocol, runtime_checkable

from rsgrpo.types import Problem, Score

BOX = "\\boxed{"


@runtime_checkable
class Reward(Protocol):
    """(problem, completion text) -> Score. Total: never raises, always finite, in bounded time."""

    def __call__(self, problem: Problem, text: str) -> Score: ...


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` of `text`, braces matched; None without one, or when it stays open.

    >>> last_boxed(r"\boxed{1} then \boxed{\frac{1}{2}}"), last_boxed(r"\boxed{1"), last_boxed("1")
    ('\\frac{1}{2}', None, None)
    """
    start = text.rfind(BOX)
    if start < 0:
        return None
    start += len(BOX)
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i]
    return None

"""Filters that treat ranks differently: by what they keep, or by where they fail."""

import time
from collections.abc import Sequence

from rsgrpo.distributed import ranks
from rsgrpo.types import Outcome


class KeepEven:
    """Keeps, in turn: all groups, those of the first of two ranks, a single one, none."""

    def __init__(self) -> None:
        self.turn = 0

    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        kept = (set(range(len(outcomes))), set(range(0, len(outcomes), 2)), {3}, set())[self.turn]
        self.turn += 1
        return [None if place in kept else "uneven" for place in range(len(outcomes))]


class FailsOnOneRank:
    """Raises on the second rank."""

    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        if ranks.index() == 1:
            raise ZeroDivisionError("only here")
        return [None] * len(outcomes)


class HangsOnOneRank:
    """Never answers on the second rank."""

    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        if ranks.index() == 1:
            time.sleep(3600)
        return [None] * len(outcomes)

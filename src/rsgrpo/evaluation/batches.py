"""What an evaluation is asked for at a time: a whole split, or a block of it that is written down before the next."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rsgrpo.evaluation.evaluate import ProblemResult
from rsgrpo.types import Prompt

CHUNK = 64
"""Completions of a problem that are drawn in one call, from one seed. Up to so many they are those of a run's test."""

BLOCK = 8192
"""Completions of a block, which is what a kill may cost; an engine works on all of a block at once."""


class SplitBatch(NamedTuple):
    """Problems of a split to be evaluated."""

    split: str
    prompts: Sequence[Prompt]
    numbers: Sequence[int] | None = None
    """Completions to draw of each; None: as many as the plan says."""
    starts: Sequence[int] | None = None
    """How many of each were drawn before; None: none."""
    known: Sequence[ProblemResult] = ()
    """What was counted before: of earlier blocks, in another process."""


def blocks(
    split: str,
    prompts: Sequence[Prompt],
    totals: Sequence[int],
    drawn: Mapping[str, int],
    *,
    chunk: int = CHUNK,
    block: int = BLOCK,
) -> list[SplitBatch]:
    """The blocks that are left of an evaluation of `totals` completions of each prompt, `drawn` of them done before.

    First come the first `chunk` completions of every problem, then the next ones: an evaluation that is ended early
    knows something of every problem. An evaluation that goes on has the very blocks that were left of it.

    >>> from rsgrpo.types import Problem
    >>> prompts = [Prompt(problem=Problem(id=name, text="", answer=""), token_ids=()) for name in "ab"]
    >>> [(b.starts, b.numbers) for b in blocks("test", prompts, [3, 2], {}, chunk=2, block=4)]
    [([0, 0], [2, 2]), ([2], [1])]
    >>> [(b.starts, b.numbers) for b in blocks("test", prompts, [3, 2], {"a": 2, "b": 2}, chunk=2, block=4)]
    [([2], [1])]
    """
    units = []
    for start in range(0, max(totals, default=0), chunk):
        for prompt, total in zip(prompts, totals, strict=True):
            begun, end = max(start, drawn.get(prompt.id, 0)), min(start + chunk, total)
            if begun < end:
                units.append((prompt, begun, end - begun))
    cut: list[list[tuple[Prompt, int, int]]] = []
    for unit in units:
        if not cut or sum(number for *_, number in cut[-1]) + unit[2] > block:
            cut.append([])
        cut[-1].append(unit)
    return [
        SplitBatch(split, [p for p, *_ in units], [n for *_, n in units], [start for _, start, _ in units])
        for units in cut
    ]

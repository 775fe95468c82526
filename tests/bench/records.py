"""Records of runs that never were, for tests of what is made of them."""

import random
from collections.abc import Iterator
from typing import Any

from rsgrpo.bench.records import Record

PAIRS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def record(arm: str = "grpo", **given: Any) -> Record:
    """A record with 4 problems of 8 completions."""
    usual: dict[str, Any] = dict(
        task="countdown",
        arm=arm,
        base=0,
        seed=0,
        rate=2e-4,
        settings="s",
        split="test",
        temperature=1.0,
        n=8,
        before=(4, 0, 1, 0),
        after=(8, 0, 2, 1),
        distinct=(1.0, 1.5),
        k=4,
        solved=0.5,
        entropy=0.3,
        tokens=20.0,
        iteration=60,
        seconds=70.0,
        weights="w",
        problems="p",
        version="1",
        processor="a",
    )
    return Record(**(usual | given))


def runs_of(arm: str, better: int = 0, *, task: str = "countdown", seed: int = 0, **given: Any) -> Iterator[Record]:
    """A run for each pair: about half of 16 completions of 20 problems are right, and `better` more of each."""
    rng, of_bases = random.Random(f"{arm}{task}{seed}"), random.Random(task)
    for base, run in PAIRS:
        before = [of_bases.randint(0, 6) + base for _ in range(20)]
        after = [min(16, rng.randint(2, 6) + base + better) for _ in range(20)]
        yield record(arm, task=task, base=base, seed=run, n=16, before=before, after=after, **given)

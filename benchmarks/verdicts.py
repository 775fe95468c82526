"""Verdicts beside those of math-verify alone, on pairs of real gold answers; prints each pair on which the two differ.

    python benchmarks/verdicts.py FOLDER

FOLDER holds JSON Lines files with an `answer` a line. Of each file: neighbours among the golds that math-verify reads
as the same number, and 300 random pairs.
"""

import json
import logging
import random
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from math_verify import parse, verify
from rsgrpo.verification.equality import compare

FILES = ("math12k_train", "deepmath_sample", "math500", "hmmt_feb_2025", "cmimc_2025")
LIMIT_S = 2


def alone(gold: str, answer: str) -> bool:
    """What math-verify makes of both in a box."""
    left, right = (parse(f"\\boxed{{{side}}}", parsing_timeout=LIMIT_S) for side in (gold, answer))
    return verify(left, right, timeout_seconds=LIMIT_S)


def value(gold: str) -> str | None:
    """The number that math-verify reads, to six digits; None for what is not read."""
    found = parse(f"\\boxed{{{gold}}}", parsing_timeout=LIMIT_S)
    try:
        return str(found[0].evalf(6)) if found and not isinstance(found[0], str) else None
    except Exception:
        return None  # sympy cannot evaluate every reading


def pairs(folder: Path) -> list[tuple[str, str]]:
    """Pairs of golds of each file."""
    rng = random.Random(1)
    found = []
    for name in FILES:
        with (folder / f"{name}.jsonl").open(encoding="utf-8") as file:
            golds = sorted({str(json.loads(line)["answer"]) for line in file} - {""})
        rng.shuffle(golds)
        same = defaultdict(list)
        for gold in golds:
            same[value(gold)].append(gold)
        same.pop(None, None)
        found += [pair for group in same.values() for pair in pairwise(group)]
        found += [(rng.choice(golds), rng.choice(golds)) for _ in range(300)]
    return found


def main() -> None:
    """Compare."""
    logging.disable(logging.CRITICAL)
    agreed: Counter[bool] = Counter()
    for gold, answer in pairs(Path(sys.argv[1])):
        here, there = compare(gold, answer, LIMIT_S), alone(gold, answer)
        agreed[(here == "right") == there] += 1
        if (here == "right") != there:
            print(f"{gold!r} and {answer!r}: {here} here, {'right' if there else 'wrong'} by math-verify alone")
    print(f"{agreed[True]:,} of {agreed.total():,} pairs agree")


if __name__ == "__main__":
    main()

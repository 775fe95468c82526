"""False positives and false negatives of our comparison beside math-verify, TRL's reward and verl's prime_math.

    python benchmarks/verdicts.py FILE_OR_FOLDER ... [--kinds] [--show GRADER] [--pairs FOLDER]

A file has a labelled case a line: the gold (`answer`, or `gold`), the `response` (or, in the tests' own files, the
`answer` in its box), `expected`, and a `kind` (else the file is one kind). Cases marked `convention` are counted apart.
`--kinds` prints a row for each kind, `--show ours` each case that ours gets wrong. `--pairs` takes a folder of golds,
an `answer` a line, and prints on which pairs of golds, which have no label, ours and math-verify differ. Every grader
is a process of its own, and no verdict within `--deadline` seconds counts as wrong. One that is not installed is left
out.
"""

import argparse
import json
import logging
import random
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from graders import GRADERS, LIMIT_S, Grader
from math_verify import parse

FILES = ("math12k_train", "deepmath_sample", "math500", "hmmt_feb_2025", "cmimc_2025")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A gold, a response with its answer in a box, and the right verdict."""

    file: str
    kind: str
    gold: str
    response: str
    expected: bool = False


def labelled(path: Path) -> list[Case]:
    """The cases of a file."""
    found = []
    with path.open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            own = "gold" in row
            response = row["response"] if "response" in row else rf"\boxed{{{row['answer']}}}"
            kind = row.get("kind") or (row.get("tags") or [path.stem])[0]
            name = "tests/verification/cases" if own else path.stem
            found.append(
                Case(
                    file=f"{name}, conventions" if row.get("convention") else name,
                    kind=kind,
                    gold=str(row["gold" if own else "answer"]),
                    response=response,
                    expected=bool(row["expected"]),
                )
            )
    return found


def value(gold: str) -> str | None:
    """The number that math-verify reads, to six digits; None for what is not read."""
    found = parse(f"\\boxed{{{gold}}}", parsing_timeout=LIMIT_S)
    try:
        return str(found[0].evalf(6)) if found and not isinstance(found[0], str) else None
    except Exception:
        return None  # sympy cannot evaluate every reading


def pairs(folder: Path) -> list[Case]:
    """Of each file of golds: neighbours among those that math-verify reads as the same number, and 300 random pairs."""
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
        both = [pair for group in same.values() for pair in pairwise(group)]
        both += [(rng.choice(golds), rng.choice(golds)) for _ in range(300)]
        found += [Case(file="pairs", kind=name, gold=gold, response=rf"\boxed{{{answer}}}") for gold, answer in both]
    return found


def verdicts(grader: Grader, cases: list[Case]) -> list[bool | None]:
    """What a grader makes of each case."""
    found = [grader.right(case.gold, case.response) for case in cases]
    grader.end()
    return found


def row(name: str, cases: list[Case], found: dict[str, list[bool | None]]) -> str:
    """Counts of a group of cases: false positives / false negatives of each grader."""
    cells = [f"{name:<42} {sum(case.expected for case in cases):>6} {sum(not case.expected for case in cases):>6}"]
    for given in found.values():
        positives = sum(bool(right) and not case.expected for case, right in zip(cases, given, strict=True))
        negatives = sum(not right and case.expected for case, right in zip(cases, given, strict=True))
        late = sum(right is None for right in given)
        cells.append(f"{f'{positives} / {negatives}' + (f' ({late} late)' if late else ''):>20}")
    return "".join(cells)


def table(cases: list[Case], found: dict[str, list[bool | None]], kinds: bool) -> None:
    """Print the rows of all files and, when asked for, kinds."""
    print(f"{'false positives / false negatives':<42}  right  wrong" + "".join(f"{name:>20}" for name in found))
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, case in enumerate(cases):
        groups[case.file, ""].append(i)
        if kinds:
            groups[case.file, case.kind].append(i)
    for (file, kind), numbers in sorted(groups.items()):
        some = {name: [given[i] for i in numbers] for name, given in found.items()}
        print(row(f"  {kind}" if kind else file, [cases[i] for i in numbers], some))


def judge(cases: list[Case], names: list[str], deadline_s: float) -> dict[str, list[bool | None]]:
    """The verdicts of each grader that is installed, two of them at a time."""
    graders = [Grader(name, deadline_s=deadline_s) for name in names]
    for grader in graders:
        if grader.missing:
            print(grader.missing, file=sys.stderr)
            grader.end()
    graders = [grader for grader in graders if not grader.missing]
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda grader: verdicts(grader, cases), graders)
    return {grader.name: given for grader, given in zip(graders, found, strict=True)}


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--kinds", action="store_true")
    parser.add_argument("--show", choices=tuple(GRADERS))
    parser.add_argument("--deadline", type=float, default=10)
    words = parser.parse_args()
    logging.disable(logging.CRITICAL)
    paths = [path for given in words.files for path in (sorted(given.glob("*.jsonl")) if given.is_dir() else [given])]
    cases = [case for path in paths for case in labelled(path)]
    if cases:
        found = judge(cases, list(GRADERS), words.deadline)
        table(cases, found, words.kinds)
        for case, right in zip(cases, found.get(words.show, [None] * len(cases)), strict=True):
            if words.show and bool(right) != case.expected:
                print(f"{case.file}, {case.kind}: {'right' if right else 'wrong'}: {case.gold!r} and {case.response!r}")
    if words.pairs:
        cases = pairs(words.pairs)
        found = judge(cases, ["ours", "math-verify"], words.deadline)
        both = list(zip(cases, found["ours"], found["math-verify"], strict=True))
        for case, here, there in both:
            if bool(here) != bool(there):
                print(f"{case.gold!r} and {case.response!r}: {here} here, {there} by math-verify alone")
        print(f"{sum(bool(here) == bool(there) for _, here, there in both):,} of {len(both):,} pairs agree")


if __name__ == "__main__":
    main()

"""Which problems only one of two arms solves, in the evaluation and in training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rsgrpo import run_folder
from rsgrpo.comparison.compare import Comparison
from rsgrpo.comparison.compared import Tables, by_arm, counts, pairs
from rsgrpo.comparison.runs import Run

Told = tuple[str | None, str | None]
"""A right completion and a right answer of a problem, as far as they are known."""

MOST_LISTED = 20
"""Problems of a list; their count is that of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """A problem that one side solves and the other does not."""

    benchmark: str
    problem: str
    correct: int
    """Right samples of the side that solves it."""
    n: int
    n_other: int
    """Samples of the other side, none of them right."""
    completion: str | None = None
    """A right one, where one was recorded."""
    answer: str | None = None
    """The right one, where answers were recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlySolved:
    """The problems that only one of two arms has solved, all samples of all common (base, seed) pairs together."""

    first: str
    second: str
    pairs: int
    problems: int
    """That both were asked."""
    only_first: int
    only_second: int
    listed_first: Sequence[Solved] = field(default_factory=tuple)
    """The clearest ones: most right samples first."""
    listed_second: Sequence[Solved] = field(default_factory=tuple)


def only_solved(comparison: Comparison) -> list[OnlySolved]:
    """In the evaluation: the baseline against every other arm."""
    tables = by_arm(comparison)
    known = {label: _answered(table, comparison.benchmarks) for label, table in tables.items()}
    found = []
    for arm in comparison.arms:
        if arm.label == comparison.baseline:
            continue
        evaluated = pairs(tables[comparison.baseline], tables[arm.label])
        first, second = Counter(), Counter()
        asked: tuple[Counter, Counter] = (Counter(), Counter())
        for before, after in evaluated:
            for table, right, samples in ((before, first, asked[0]), (after, second, asked[1])):
                names, n, correct = counts(table, comparison.benchmarks)
                right.update(dict(zip(names, correct.tolist(), strict=True)))
                samples.update(dict(zip(names, n.tolist(), strict=True)))
        if evaluated:
            labels = comparison.baseline, arm.label
            told = {(label, name): own for label in labels for name, own in known[label].items()}
            found.append(_only(labels, len(evaluated), (first, second), asked, told))
    return found


def only_solved_in_training(comparison: Comparison) -> list[OnlySolved]:
    """Among the problems that both arms have visited in training, up to the iterations that are compared.

    A right completion stands beside a problem where one was among those that a run has recorded.
    """
    baseline = next((arm for arm in comparison.arms if arm.label == comparison.baseline), None)
    if baseline is None:
        return []
    visits = {run: _visits(run, comparison) for arm in comparison.arms for run in arm.runs if run.trains}
    recorded = {run: _right_completions(run) for run in visits}
    found = []
    for arm in comparison.arms:
        if arm is baseline:
            continue
        common = {run.pair for run in baseline.runs} & {run.pair for run in arm.runs}
        sides = [[run for run in side.runs if run.pair in common and run in visits] for side in (baseline, arm)]
        if not all(sides):
            continue
        right = [sum((visits[run][0] for run in side), Counter()) for side in sides]
        asked = [sum((visits[run][1] for run in side), Counter()) for side in sides]
        labels = (baseline.label, arm.label)
        completions = {
            (label, name): (text, None)
            for label, runs in zip(labels, sides, strict=True)
            for run in runs
            for name, text in recorded[run].items()
        }
        found.append(_only(labels, len(common), (right[0], right[1]), (asked[0], asked[1]), completions))
    return [one for one in found if one.problems]


def _answered(tables: Tables, benchmarks: Sequence[str]) -> dict[tuple[str, str], Told]:
    """By (benchmark, problem id), a right completion and a right answer, of the evaluations that have written them."""
    found: dict[tuple[str, str], Told] = {}
    for table in tables.values():
        for benchmark in benchmarks:
            part = table[benchmark]
            for problem, one in zip(part.problems, part.answered if part.samples is not None else (), strict=False):
                completion, answer = found.get((benchmark, problem), (None, None))
                found[benchmark, problem] = completion or one.completion, answer or one.right_answer
    return found


def _only(
    names: tuple[str, str],
    pair_count: int,
    right: tuple[Counter, Counter],
    asked: tuple[Counter, Counter],
    told: Mapping[tuple[str, tuple[str, str]], Told],
) -> OnlySolved:
    common = asked[0].keys() & asked[1].keys()
    lists = []
    for own, other in ((0, 1), (1, 0)):
        only = [name for name in common if right[own][name] > 0 and right[other][name] == 0]
        only.sort(key=lambda name: (-right[own][name] / asked[own][name], name))
        lists.append(
            (
                len(only),
                [
                    Solved(
                        benchmark=name[0],
                        problem=name[1],
                        correct=right[own][name],
                        n=asked[own][name],
                        n_other=asked[other][name],
                        completion=told.get((names[own], name), (None, None))[0],
                        answer=told.get((names[own], name), (None, None))[1],
                    )
                    for name in only[:MOST_LISTED]
                ],
            )
        )
    return OnlySolved(
        first=names[0],
        second=names[1],
        pairs=pair_count,
        problems=len(common),
        only_first=lists[0][0],
        only_second=lists[1][0],
        listed_first=lists[0][1],
        listed_second=lists[1][1],
    )


def _visits(run: Run, comparison: Comparison) -> tuple[Counter, Counter]:
    """(right, all) completions of each training problem, as ("", problem id)."""
    right, asked = Counter(), Counter()
    last = comparison.iterations[str(run.folder)]
    for iteration, prompt, n, correct in run_folder.read_visits(run.folder / run_folder.PROMPTS):
        if iteration <= last:
            asked["", prompt] += n
            right["", prompt] += correct
    return right, asked


def _right_completions(run: Run) -> dict[tuple[str, str], str]:
    """By training problem, as in `_visits`: a right completion that the run has recorded."""
    return {
        ("", record["prompt"]): record["completion"]
        for record in run_folder.read(run.folder / run_folder.ROLLOUTS)
        if record.get("correct") and "prompt" in record
    }

"""One problem of a run over training, and the problems that changed most."""

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsgrpo import run_folder
from rsgrpo.comparison.runs import Run
from rsgrpo.errors import UserError

MOST_CHANGED = 10
"""Problems listed in each direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`correct` of `n` completions of a problem after an iteration: of an evaluation, or of a visit in training."""

    where: str
    """`test`, `validation` or `train`."""
    iteration: int
    n: int
    correct: int

    @property
    def accuracy(self) -> float:
        """correct / n."""
        return self.correct / self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A completion that `rollouts.jsonl` has kept."""

    iteration: int
    completion: str
    reward: float
    correct: bool | None


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything that a run knows of a problem."""

    problem: str
    text: str | None
    """Where a completion of it was recorded."""
    asked: Sequence[Asked]
    completions: Sequence[Recorded]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A problem at the first and at the last time that it was asked."""

    problem: str
    first: Asked
    last: Asked

    @property
    def size(self) -> float:
        """Of the accuracy."""
        return self.last.accuracy - self.first.accuracy


def history(run: Run, problem: str) -> History:
    """All evaluations and visits of a problem, and its recorded completions, in their order.

    Raises:
        UserError: for a problem that the run has never met, naming the nearest ones.
    """
    known = _all_asked(run)
    if problem not in known:
        raise UserError(f"problem: {run.folder} has no {problem}; {_near(problem, list(known))}")
    records = [r for r in run_folder.read(run.folder / run_folder.ROLLOUTS) if r.get("prompt") == problem]
    return History(
        problem=problem,
        text=records[0]["problem"] if records else None,
        asked=known[problem],
        completions=[
            Recorded(
                iteration=record["iteration"],
                completion=record["completion"],
                reward=record["reward"],
                correct=record.get("correct"),
            )
            for record in records
        ],
    )


def word_for(problem: str) -> str:
    """What names a problem on a command line, in the quotes that Hydra and the shell want.

    >>> print(word_for("aime24/7"), word_for("countdown/1-2=3"))
    problem=aime24/7 'problem="countdown/1-2=3"'
    """
    if re.fullmatch(r"[\w./:@-]+", problem):
        return f"problem={problem}"
    escaped = problem.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'problem="{escaped}"')


def changed_most(run: Run) -> dict[str, tuple[list[Change], list[Change]]]:
    """By split, the problems whose accuracy rose most and those whose accuracy fell most, first to last time asked.

    Raises:
        UserError: when the run has asked no problem twice.
    """
    found = {}
    for where in ("test", "validation", "train"):
        changes = [
            Change(problem=problem, first=asked[0], last=asked[-1])
            for problem, every in _all_asked(run).items()
            if len(asked := [one for one in every if one.where == where]) > 1
        ]
        rose = sorted((c for c in changes if c.size > 0), key=lambda c: (-c.size, c.problem))
        fell = sorted((c for c in changes if c.size < 0), key=lambda c: (c.size, c.problem))
        if changes:
            found[where] = (rose[:MOST_CHANGED], fell[:MOST_CHANGED])
    if not found and not run.trains:
        raise UserError(
            f"{run.folder} is an evaluation, which asks each problem once; name a problem of it (problem=ID), or the "
            "run that trained its policy"
        )
    if not found:
        raise UserError(
            f"{run.folder} has asked no problem twice, so none has changed; let the run go on, or name one: problem=ID"
        )
    return found


def _all_asked(run: Run) -> dict[str, list[Asked]]:
    """By problem id, in the order of iterations; evaluations before visits."""
    found: dict[str, list[Asked]] = {}
    for split in ("test", "validation"):
        for iteration, benchmarks in run.evaluations(split).items():
            for part in benchmarks.values():
                for name, n, correct in zip(part.problems, part.n.tolist(), part.correct.tolist(), strict=True):
                    found.setdefault(name, []).append(Asked(where=split, iteration=iteration, n=n, correct=correct))
    for iteration, prompt, n, correct in run_folder.read_visits(run.folder / run_folder.PROMPTS):
        found.setdefault(prompt, []).append(Asked(where="train", iteration=iteration, n=n, correct=correct))
    return found


def _near(problem: str, known: Sequence[str]) -> str:
    """A hint at the ids that look most like it."""
    if not known:
        return "it has recorded none: it needs an evaluation (eval=pass_at_k) or callbacks=default"
    holding = [name for name in known if problem and problem in name]
    near = [*holding[:3], *difflib.get_close_matches(problem, known, n=3, cutoff=0.3)]
    examples = [*dict.fromkeys(near)][:3] or [known[int(i)] for i in np.linspace(0, len(known) - 1, 3)]
    return f"did you mean {' or '.join(map(word_for, examples))}? Without problem= those that changed most are listed"

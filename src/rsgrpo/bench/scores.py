"""What a bench measures of a finished run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsgrpo.bench.records import Record
from rsgrpo.comparison.measures import Measure, measure
from rsgrpo.comparison.runs import Evaluated
from rsgrpo.measures.support import placebo, support


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One column of the leaderboard."""

    name: str
    of: Callable[[Record], float]
    of_base: Callable[[Record], float] | None = None
    """The same of the policy before training; None where it has none."""
    variance: Callable[[Record], float] = lambda record: 0.0
    """Of its value, from drawing samples alone."""
    bounds: tuple[float, float] = (-np.inf, np.inf)


def scores(k: int) -> list[Score]:
    """The columns, the one that ranks first: AUC, pass@1, pass@k and what stands beside them.

    `kept` is the share of the problems that the base solves with k samples which training keeps, and `gained` the share
    of those that the trained policy solves which the base does not; each less what chance alone gives (the base against
    itself, the placebo), so that 0 is no change.
    """
    counted = [_of_counts(measure(name)) for name in (f"auc@{k}", "pass@1", f"pass@{k}")]
    distinct = Score(
        name=f"distinct@{k}",
        of=lambda r: r.distinct[1],
        of_base=lambda r: r.distinct[0],
        variance=counted[2].variance,  # the same number where a problem has one right answer; records hold no more
        bounds=(0.0, np.inf),
    )
    return [
        *counted,
        Score(name="solved", of=lambda r: r.solved, bounds=(0.0, 1.0)),
        distinct,
        Score(name=f"kept@{k}", of=lambda r: _support(r, k)[0]),
        Score(name=f"gained@{k}", of=lambda r: _support(r, k)[1]),
        Score(name="entropy", of=lambda r: np.nan if r.entropy is None else r.entropy, bounds=(0.0, np.inf)),
        Score(name="tokens", of=lambda r: r.tokens, bounds=(0.0, np.inf)),
        Score(name="seconds", of=lambda r: r.seconds, bounds=(0.0, np.inf)),
    ]


def score_named(name: str) -> Score:
    """The score of a name, `pass@8` for example.

    Raises:
        UserError: listing the forms of a name, for one of none of them.
    """
    return _of_counts(measure(name))


def auc(record: Record, k: int) -> float:
    """The area under pass@k after training: what chooses a learning rate."""
    return _mean(measure(f"auc@{k}"), record, record.after)


def _of_counts(one: Measure) -> Score:
    return Score(
        name=one.name,
        of=lambda r: _mean(one, r, r.after),
        of_base=lambda r: _mean(one, r, r.before),
        variance=lambda r: one.sampling_variance({"": _evaluated(r, r.after)}),
        bounds=one.bounds,
    )


def _mean(one: Measure, record: Record, correct: Sequence[int]) -> float:
    return float(one.values({"": _evaluated(record, correct)})[""].mean())


def _evaluated(record: Record, correct: Sequence[int]) -> Evaluated:
    return Evaluated(
        problems=tuple(map(str, range(len(correct)))),
        n=np.full(len(correct), record.n),
        correct=np.asarray(correct),
        tokens=record.tokens,
        truncated=0.0,
    )


def _support(record: Record, k: int) -> tuple[float, float]:
    """(kept, gained) beyond chance."""
    before, after = ((np.full(len(c), record.n), np.asarray(c)) for c in (record.before, record.after))
    found, chance = support(before, after, k), placebo(*before, k)
    return found.srr - chance.srr, found.ndr - chance.ndr


def normalised(value: float, base: float) -> float:
    """(value - base) / (1 - base): the share of what the base leaves unsolved. 0 is the base, 1 is everything.

    It depends on no other arm, so that a new one moves no score.
    """
    return (value - base) / (1 - base)


def table_of(records: Sequence[Record], columns: Sequence[Score]) -> Mapping[str, Mapping[tuple[str, int], float]]:
    """By column, the value of each (base, seed)."""
    return {column.name: {record.pair: column.of(record) for record in records} for column in columns}

"""What a comparison can measure of a run: by problem, from counts or samples, or as one number that it has logged."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from rsgrpo.comparison.answered import Answered
from rsgrpo.comparison.runs import Evaluated, Run
from rsgrpo.errors import UserError
from rsgrpo.intervals.samples import jackknifed
from rsgrpo.measures.answers import answer_entropy, majority_at_k, unique_at_k
from rsgrpo.measures.consistency import covered, g_pass_at_k, mean_g_pass_at_k, pass_hat_k
from rsgrpo.measures.graded import max_at_k
from rsgrpo.measures.pass_at_k import Counts, area, ladder

Values = Float[np.ndarray, " P"]
ByProblem = Callable[[Counts, Counts], Values]
ByAnswers = Callable[[Answered], float]

FORMS: Mapping[str, Callable[[re.Match[str]], tuple[int, ByProblem]]] = {
    r"pass@(\d+)": lambda m: (int(m[1]), lambda n, c: ladder(n, c, [int(m[1])])[int(m[1])]),
    r"auc@(\d+)": lambda m: (int(m[1]), lambda n, c: area(n, c, int(m[1]))),
    r"pass\^(\d+)": lambda m: (int(m[1]), lambda n, c: pass_hat_k(n, c, int(m[1]))),
    r"mg_pass@(\d+)": lambda m: (int(m[1]), lambda n, c: mean_g_pass_at_k(n, c, int(m[1]))),
    r"g_pass@(\d+):(\d*\.?\d+)": lambda m: (int(m[1]), lambda n, c: g_pass_at_k(n, c, int(m[1]), float(m[2]))),
    r"cover@(\d*\.?\d+)": lambda m: (1, lambda n, c: covered(n, c, float(m[1])).astype(float)),
}
"""By the form of a measure's name: how many samples of a problem it needs, and its value for each problem."""

OF_SAMPLES: Mapping[str, Callable[[re.Match[str]], tuple[int, ByAnswers]]] = {
    r"maj@(\d+)": lambda m: (int(m[1]), lambda a: majority_at_k(a.votes, a.right, a.n, int(m[1]))),
    r"unique@(\d+)": lambda m: (int(m[1]), lambda a: unique_at_k(a.votes, a.n, int(m[1]))),
    r"max@(\d+)": lambda m: (int(m[1]), lambda a: float(max_at_k(a.rewards[None], int(m[1]))[0])),
    r"answer_entropy": lambda m: (1, lambda a: answer_entropy(a.votes)),
}
"""The same of measures that need each sample, which `task=evaluate` writes down."""

UNBOUNDED = r"max@\d+|answer_entropy"
"""Measures of samples that may leave the range from 0 to 1."""

KNOWN = (
    "pass@K, pass^K, mg_pass@K, g_pass@K:TAU, cover@TAU, auc@K; after task=evaluate also maj@K, unique@K, max@K and "
    "answer_entropy; or the name of a metric, such as train/entropy"
)

SHARES = r"(solve_rate(_visited)?|accuracy|fraction|pass@\d+)$"
"""Metrics that lie between 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One row of a comparison: exactly one of `by_problem`, `by_answers` and `metric` is there."""

    name: str
    k: int = 1
    """Samples that it needs of every problem."""
    by_problem: ByProblem | None = None
    by_answers: ByAnswers | None = None
    metric: str | None = None
    """The name under which runs have logged it."""

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1."""
        if self.metric is not None:
            return re.search(SHARES, self.metric) is not None
        return re.fullmatch(UNBOUNDED, self.name) is None

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which its means lie."""
        return (0.0, 1.0) if self.is_share else (-math.inf, math.inf)

    def values(self, evaluated: Mapping[str, Evaluated]) -> dict[str, Values]:
        """By benchmark, one value per problem."""
        by_problem, by_answers = self.by_problem, self.by_answers
        if by_answers is not None:
            return {n: np.array([by_answers(one) for one in part.answered]) for n, part in evaluated.items()}
        assert by_problem is not None
        return {name: by_problem(part.n, part.correct) for name, part in evaluated.items()}

    def sampling_variance(self, evaluated: Mapping[str, Evaluated]) -> float:
        """The variance of `mean_over_benchmarks` that comes from drawing samples alone, by the jackknife.

        0 where the samples are too few to tell, for measures that jump from one sample to the next, and for those of
        answers.
        """
        if self.by_problem is None or self.name.startswith("cover@"):
            return 0.0
        total = 0.0
        for part in evaluated.values():
            if 2 * self.k <= int(part.n.min()):
                total += float(jackknifed(self.by_problem, part.n, part.correct).sum()) / len(part.n) ** 2
        return total / len(evaluated) ** 2

    def logged(self, run: Run, iteration: int) -> float | None:
        """What a run has logged of it at an iteration, or last before it; None when it never has."""
        assert self.metric is not None
        at = [i for i, record in run.metrics.items() if i <= iteration and record.get(self.metric) is not None]
        return float(run.metrics[max(at)][self.metric]) if at else None


def measure(name: str) -> Measure:
    """The measure of a name.

    Raises:
        UserError: listing the forms of a name, for one of none of them.
    """
    for form, of_samples in OF_SAMPLES.items():
        if match := re.fullmatch(form, name):
            k, by_answers = of_samples(match)
            _check_k(name, k)
            return Measure(name=name, k=k, by_answers=by_answers)
    for form, make in FORMS.items():
        if match := re.fullmatch(form, name):
            k, by_problem = make(match)
            tau = float(match[match.lastindex or 1])
            _check_k(name, k)
            if not tau > 0 or (("cover@" in name or ":" in name) and tau > 1):
                break
            return Measure(name=name, k=k, by_problem=by_problem)
    if re.fullmatch(r"\w+(/[\w@.^:-]+)+", name):
        return Measure(name=name, metric=name)
    raise UserError(f"measures: {name} is not one; choose from {KNOWN}")


def _check_k(name: str, k: int) -> None:
    if k < 1:
        raise UserError(f"measures: {name} is of no samples; take a k of at least 1")
    if name.startswith("auc@") and (k < 2 or k & (k - 1)):
        raise UserError(f"measures: {name} needs a power of two; try auc@{max(2, 2 ** (k.bit_length() - 1))}")


def mean_over_benchmarks(values: Mapping[str, Values]) -> float:
    """The mean of the benchmarks' means: a benchmark of 30 problems weighs as much as one of 500, as in Table 2."""
    return float(np.mean([part.mean() for part in values.values()]))

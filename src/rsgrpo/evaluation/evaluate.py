"""Sampling a split and counting correct completions: for validation and test."""

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rsgrpo.errors import FieldError, fields_belong_to
from rsgrpo.evaluation.sampling import sampled_groups
from rsgrpo.fields import check_fields
from rsgrpo.metrics.rollouts import sum_of_parts
from rsgrpo.rewards.base import Pending, Reward, answers, begin
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.types import Group, Prompt, Sampling, Score, ScoredGroup

MOST_COMPLETIONS = 2**20
"""Completions of one problem."""

IN_FLIGHT = 64
"""Groups whose completions are kept while the reward works on them: the rest of a split would fill the memory."""


Keep = Literal["all", "first_right", "none"]
"""All, the first right one of each chunk of samples, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """When and how the policy is evaluated.

    Each evaluation estimates those k that its completions allow: pass@32 is of the problems that have 32 of them.

    Raises:
        FieldError: for a k that needs more completions than any problem gets.
    """

    sampling: Sampling
    every: int = 10
    """Iterations between two validations."""
    validation_prompts: int | None = 128
    """How many problems of the validation split, from the first one on; None is all."""
    validation_completions: int = 32
    test_every: int | None = None
    """Iterations between two tests during training; null: the test split is sampled before and after only."""
    test_completions: int = 64
    """Before and after training."""
    test_completions_of: Mapping[str, int] = field(default_factory=dict)
    """By dataset, where they are fewer."""
    curve_completions: int = 32
    """During training, every `test_every` iterations."""
    curve_completions_of: Mapping[str, int] = field(default_factory=dict)
    """By dataset, where they are fewer."""
    completions: int | None = None
    """An upper limit for all of these, which leaves out the k above it; null: none."""
    base: bool = True
    """Whether a run evaluates the policy that it starts from."""
    cache_dir: str | None = None
    """Of the command line: where runs that share base and seed find what it was measured at; null: nowhere."""
    keep: Keep = "none"
    """Of `task=evaluate`: which completions are kept as text."""
    right_answers: bool = False
    """Whether the different right answers of each problem are written down, for measures of how many a policy finds."""
    temperature: float | Sequence[float] | None = None
    """Of `task=evaluate`, which makes one plan of each; null: that of `sampling`."""
    k: Sequence[int] = (1, 4, 32)

    def __post_init__(self) -> None:
        numbers = ("validation_completions", "test_completions", "curve_completions", "completions")
        drawn = dict.fromkeys(numbers, (1, MOST_COMPLETIONS))
        check_fields(self, every=(1, math.inf), test_every=(1, math.inf), validation_prompts=(1, math.inf), **drawn)
        for name in ("test_completions_of", "curve_completions_of"):
            if wrong := [number for number in getattr(self, name).values() if not 1 <= number <= MOST_COMPLETIONS]:
                raise FieldError(name, wrong[0], "must be at least 1", f"try {name}={{}}")
        most = max(self.validation_completions, self.test_completions)
        ks = self.k if isinstance(self.k, Sequence) and not isinstance(self.k, str) else ()
        if not ks or not all(type(k) is int and 1 <= k <= most for k in ks):
            raise FieldError(
                "k",
                self.k,
                f"must list whole numbers from 1 to the {most} completions drawn",
                _cure(ks, most),
                **dict.fromkeys(drawn, "evaluation"),
            )
        if self.completions is not None and min(ks) > self.completions:
            cure = f"try completions={min(ks)}"
            raise FieldError("completions", self.completions, f"leaves no k of {list(ks)} to estimate", cure)

    def completions_for(self, split: str, dataset: str | None, *, curve: bool = False) -> int:
        """Completions of a problem of this split and dataset; `curve`: of a test during training."""
        if split == "validation":
            number = self.validation_completions
        else:
            fewer = self.curve_completions_of if curve else self.test_completions_of
            number = fewer.get(str(dataset), self.curve_completions if curve else self.test_completions)
        return number if self.completions is None else min(number, self.completions)

    def is_due(self, split: str, iteration: int, iterations: int) -> bool:
        """Whether a split is sampled after an iteration of training; the last one is followed by a test anyway."""
        if split == "validation":
            return iteration % self.every == 0
        return self.test_every is not None and iteration % self.test_every == 0 and iteration < iterations


def _cure(ks: Sequence[Any], fewest: int) -> str:
    """The k that can be estimated, and how many completions the others need."""
    whole = [k for k in ks if type(k) is int and 1 <= k <= MOST_COMPLETIONS]
    kept = [k for k in whole if k <= fewest] or [1]
    cure = f"try k=[{','.join(map(str, kept))}]"
    if len(kept) < len(whole):
        needed = f"validation_completions={max(whole)} test_completions={max(whole)}"
        return f"{cure}, or draw more: {needed}"
    return cure


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemResult:
    """How often one problem was solved."""

    problem_id: str
    n: int
    correct: int
    mean_tokens: float
    truncated: int
    """Completions that ran into `max_new_tokens`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the data source knows of the problem, its level for example."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Sum over the completions of each part of the reward: how many had no box, or timed out."""
    right_answers: Mapping[str, int] | None = None
    """How many completions gave each right answer; None where they were not asked for."""

    def record(self) -> dict[str, Any]:
        """As a line of `eval/<split>.jsonl`."""
        content = asdict(self)
        return content if self.right_answers is not None else {k: v for k, v in content.items() if k != "right_answers"}


@fields_belong_to("evaluation.sampling", *Sampling.__dataclass_fields__)
def evaluate(
    engine: RolloutEngine,
    reward: Reward,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    num_completions: int | Callable[[int], int],
    seed_of: Callable[[int], int],
    right_answers: bool = False,
    see: Callable[[int, ScoredGroup], None] | None = None,
) -> list[ProblemResult]:
    """Sample `num_completions` of every prompt and count the correct ones, in the order of `prompts`.

    Seeds, and numbers of completions that are not all alike, are by the place of a prompt; prompts with different
    numbers go to the engine in one call per number. `right_answers` has the reward say which answer each correct
    completion gives.

    `see` is handed the index of each prompt with its completions and scores, as soon as they are finished. Nothing else
    keeps them, since those of a whole split would fill the memory.
    """
    results: dict[int, ProblemResult] = {}
    pending: deque[tuple[int, Group, Pending]] = deque()

    def finish_oldest() -> None:
        index, group, scores = pending.popleft()
        scored = ScoredGroup(group=group, scores=scores())
        given = _right_answers(reward, scored) if right_answers else None
        results[index] = _result(group, scored.scores, given)
        if see is not None:
            see(index, scored)

    numbers = [num_completions if isinstance(num_completions, int) else num_completions(i) for i in range(len(prompts))]
    for number in sorted(set(numbers)):
        places = [place for place, drawn in enumerate(numbers) if drawn == number]
        some = [prompts[place] for place in places]
        seeds = [seed_of(place) for place in places]
        for index, group in sampled_groups(engine, some, sampling, num_completions=number, seeds=seeds):
            pending.append((places[index], group, begin(reward, group)))
            if len(pending) > IN_FLIGHT:
                finish_oldest()
    while pending:
        finish_oldest()
    return [results[index] for index in range(len(prompts))]


def _right_answers(reward: Reward, scored: ScoredGroup) -> dict[str, int]:
    right = [c for c, score in zip(scored.group.completions, scored.scores, strict=True) if score.correct]
    given = answers(reward, Group(prompt=scored.group.prompt, completions=tuple(right)))
    return dict(Counter(answer for answer in given if answer is not None).most_common())


def _result(group: Group, scores: Sequence[Score], right_answers: Mapping[str, int] | None) -> ProblemResult:
    completions = group.completions
    return ProblemResult(
        problem_id=group.prompt.id,
        n=len(completions),
        correct=sum(score.correct for score in scores),
        mean_tokens=sum(len(c.token_ids) for c in completions) / len(completions),
        truncated=sum(not c.finished for c in completions),
        facts=dict(group.prompt.problem.facts),
        parts=sum_of_parts(scores),
        right_answers=right_answers,
    )


def merged(before: Sequence[ProblemResult], after: Sequence[ProblemResult]) -> list[ProblemResult]:
    """The counts of two sets of samples, of the same problems or others, in the order in which they first came."""
    if not before:
        return list(after)
    found = {result.problem_id: result for result in before}
    for result in after:
        one = found.get(result.problem_id)
        found[result.problem_id] = result if one is None else _sum(one, result)
    return list(found.values())


def _sum(a: ProblemResult, b: ProblemResult) -> ProblemResult:
    n = a.n + b.n
    return ProblemResult(
        problem_id=a.problem_id,
        n=n,
        correct=a.correct + b.correct,
        mean_tokens=(a.mean_tokens * a.n + b.mean_tokens * b.n) / n,
        truncated=a.truncated + b.truncated,
        facts=a.facts,
        parts={name: a.parts.get(name, 0.0) + b.parts.get(name, 0.0) for name in {**a.parts, **b.parts}},
        right_answers=_added(a.right_answers, b.right_answers),
    )


def _added(a: Mapping[str, int] | None, b: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if a is None or b is None else dict((Counter(a) + Counter(b)).most_common())

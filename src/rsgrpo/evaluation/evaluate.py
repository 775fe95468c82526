"""Sampling a split and counting correct completions: for validation and test."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rsgrpo.errors import FieldError, fields_belong_to
from rsgrpo.fields import check_fields
from rsgrpo.metrics.rollouts import sum_of_parts
from rsgrpo.rewards.base import Pending, Reward, begin
from rsgrpo.rollouts.engine import RolloutEngine, checked_groups
from rsgrpo.types import Group, Prompt, Sampling, Score, ScoredGroup

MOST_COMPLETIONS = 2**20
"""Completions of one problem."""

IN_FLIGHT = 64
"""Groups whose completions are kept while the reward works on them: the rest of a split would fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """When and how the policy is evaluated.

    Raises:
        FieldError: for a k that needs more completions than are drawn.
    """

    sampling: Sampling
    every: int = 10
    """Iterations between two validations."""
    validation_prompts: int | None = 128
    """How many problems of the validation split, from the first one on; None is all."""
    validation_completions: int = 32
    test_completions: int = 64
    k: Sequence[int] = (1, 4, 32)

    def __post_init__(self) -> None:
        drawn = dict.fromkeys(("validation_completions", "test_completions"), (1, MOST_COMPLETIONS))
        check_fields(self, every=(1, math.inf), validation_prompts=(1, math.inf), **drawn)
        fewest = min(self.validation_completions, self.test_completions)
        ks = self.k if isinstance(self.k, Sequence) and not isinstance(self.k, str) else ()
        if not ks or not all(type(k) is int and 1 <= k <= fewest for k in ks):
            raise FieldError(
                "k",
                self.k,
                f"must list whole numbers from 1 to the {fewest} completions drawn",
                _cure(ks, fewest),
                **dict.fromkeys(drawn, "evaluation"),
            )


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


@fields_belong_to("evaluation.sampling", *Sampling.__dataclass_fields__)
def evaluate(
    engine: RolloutEngine,
    reward: Reward,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    num_completions: int,
    seed_of: Callable[[Prompt], int],
    see: Callable[[int, ScoredGroup], None] | None = None,
) -> list[ProblemResult]:
    """Sample `num_completions` of every prompt and count the correct ones, in the order of `prompts`.

    `see` is handed the index of each prompt with its completions and scores, as soon as they are finished. Nothing else
    keeps them, since those of a whole split would fill the memory.
    """
    seeds = [seed_of(prompt) for prompt in prompts]
    groups = engine.generate(prompts, sampling, num_completions=num_completions, seeds=seeds)
    results: dict[int, ProblemResult] = {}
    pending: deque[tuple[int, Group, Pending]] = deque()

    def finish_oldest() -> None:
        index, group, scores = pending.popleft()
        scored = ScoredGroup(group=group, scores=scores())
        results[index] = _result(group, scored.scores)
        if see is not None:
            see(index, scored)

    for index, group in checked_groups(groups, prompts, num_completions):
        pending.append((index, group, begin(reward, group)))
        if len(pending) > IN_FLIGHT:
            finish_oldest()
    while pending:
        finish_oldest()
    return [results[index] for index in range(len(prompts))]


def _result(group: Group, scores: Sequence[Score]) -> ProblemResult:
    completions = group.completions
    return ProblemResult(
        problem_id=group.prompt.id,
        n=len(completions),
        correct=sum(score.correct for score in scores),
        mean_tokens=sum(len(c.token_ids) for c in completions) / len(completions),
        truncated=sum(not c.finished for c in completions),
        facts=dict(group.prompt.problem.facts),
        parts=sum_of_parts(scores),
    )

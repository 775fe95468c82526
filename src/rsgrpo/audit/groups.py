"""All groups that a prompt can draw, as filter, objective and schedule of a run see them: as outcomes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rsgrpo.audit.enumeration import ALONE, outcomes_of
from rsgrpo.audit.mix import Mix
from rsgrpo.audit.surrogate import Policies, taken_off_rewards
from rsgrpo.batching.filters import GroupFilter, reasons
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.errors import FieldError, UserError, maker_of
from rsgrpo.losses.base import Loss
from rsgrpo.objectives.base import Objective, PromptHistory, needs_of
from rsgrpo.objectives.claims import group_chances
from rsgrpo.schedules.base import Schedule
from rsgrpo.terms.base import Term
from rsgrpo.training.combinations import check_aggregation
from rsgrpo.training.outcomes import less
from rsgrpo.training.selection import advantage_context
from rsgrpo.types import Outcome, Score

MOST_GROUPS = 20_000
"""Groups without order that one prompt can draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeParts:
    """What of a run's recipe the audit looks at."""

    objective: Objective
    schedule: Schedule
    filter: GroupFilter
    loss: Loss
    terms: Mapping[str, Term] = field(default_factory=dict)
    batching: BatchPlan
    """Its `completions_per_prompt` is N."""

    def with_terms(self, *names: str) -> "RecipeParts":
        """The same with these terms alone."""
        return replace(self, terms={name: self.terms[name] for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfPrompt:
    """What becomes of the G groups of prompts with one policy over M answers."""

    chances: Float[Tensor, " G"]
    kept: Bool[Tensor, " G"]
    advantages: Float[Tensor, "G M"]
    """Of the objective, by answer; 0 for one that is not in the group."""
    rescaled: Float[Tensor, "G M"]
    """The same times what the schedule says."""
    loss: Loss
    """In force."""


def check_parts(parts: RecipeParts, mix: Mix) -> None:
    """Refuse what cannot be enumerated, or what a run would refuse.

    Raises:
        UserError, FieldError: naming the part and the cure.
    """
    plan, kinds = parts.batching, len(mix.accuracies)
    check_aggregation(parts.loss)
    _check_groups(plan.completions_per_prompt, len(mix.tokens))
    parts.schedule.check(parts.objective, plan.completions_per_prompt, parts.loss)
    if plan.max_refills:
        raise FieldError(
            "max_refills",
            plan.max_refills,
            "samples other prompts until enough are kept, which the audit does not follow",
            "use max_refills=0",
            max_refills="batching",
        )
    if plan.prompts_per_iteration % kinds:
        nearest = kinds * max(1, round(plan.prompts_per_iteration / kinds))
        raise FieldError(
            "prompts_per_iteration",
            plan.prompts_per_iteration,
            f"cannot be shared equally by the {kinds} accuracies of the prompts",
            f"try prompts_per_iteration={nearest}, or list one accuracy, accuracies=[0.35]",
            prompts_per_iteration="batching",
            accuracies="task",
        )


def _check_groups(completions: int, answers: int) -> None:
    """Refuse groups of which there are too many.

    Raises:
        FieldError: naming the size of a group that is feasible.
    """
    if _number_of_groups(completions, answers) > MOST_GROUPS:
        feasible = max(n for n in range(2, completions) if _number_of_groups(n, answers) <= MOST_GROUPS)
        raise FieldError(
            "completions_per_prompt",
            completions,
            f"with {answers} answers makes {_number_of_groups(completions, answers):,} groups of a prompt, more than "
            f"the {MOST_GROUPS:,} that the audit of a recipe enumerates",
            f"try completions_per_prompt={feasible}",
            completions_per_prompt="batching",
        )


def kind_of_prompt(
    parts: RecipeParts,
    mix: Mix,
    rewards: Sequence[float],
    policy: Float[Tensor, " M"],
    counts: Int[Tensor, "G M"],
) -> KindOfPrompt:
    """What filter, objective and schedule make of every group, once the terms of the reward are taken off.

    Raises:
        UserError, FieldError: naming a part that refuses such groups, or a filter that looks at several together.
    """
    answers = outcomes_of(counts)
    outcomes = _outcomes(parts, mix, rewards, policy, answers)
    history = [PromptHistory()] * len(outcomes) if "history" in needs_of(parts.objective) else None
    values, context = advantage_context(outcomes, iteration=1, completions=answers.shape[1], history=history)
    in_force = parts.schedule.in_force(parts.objective, context, parts.loss)
    assert in_force.loss is not None

    def by_answer(advantages: Float[Tensor, "G N"]) -> Float[Tensor, "G M"]:
        total = torch.zeros(counts.shape, dtype=torch.float64).scatter_add(1, answers, advantages.double())
        return total / counts.clamp(min=1)

    return KindOfPrompt(
        chances=group_chances(counts.double(), policy),
        kept=_kept(parts.filter, outcomes),
        advantages=by_answer(replace(in_force, scale=1.0).advantages(values, context)),
        rescaled=by_answer(in_force.advantages(values, context)),
        loss=in_force.loss,
    )


def _outcomes(
    parts: RecipeParts, mix: Mix, rewards: Sequence[float], policy: Float[Tensor, " M"], answers: Int[Tensor, "G N"]
) -> list[Outcome]:
    every = _outcome(parts, mix, policy, "all answers", list(range(len(mix.tokens))), _scores(mix, rewards))
    terms = {name: term for name, term in parts.terms.items() if term.place == "reward"}
    if terms:
        reference = torch.tensor(mix.reference, dtype=torch.float64)
        policies = Policies(sampled=policy, updated=policy, reference=reference)
        every = less(every, list(terms), taken_off_rewards(terms, mix.tokens, policies))
    return [_outcome(parts, mix, policy, f"group {i}", group, every.scores) for i, group in enumerate(answers.tolist())]


def _scores(mix: Mix, rewards: Sequence[float]) -> list[Score]:
    return [Score(value=reward, correct=correct) for reward, correct in zip(rewards, mix.correct, strict=True)]


def _outcome(
    parts: RecipeParts,
    mix: Mix,
    policy: Float[Tensor, " M"],
    name: str,
    group: Sequence[int],
    scores: Sequence[Score],
) -> Outcome:
    """Of completions whose answers have these numbers."""
    needs, logprobs = needs_of(parts.objective), policy.log().tolist()
    entropy = -(policy * policy.log()).sum().item()
    return Outcome(
        prompt_id=name,
        scores=tuple(scores[answer] for answer in group),
        lengths=tuple(mix.tokens[answer] for answer in group),
        finished=(True,) * len(group),
        mean_logprobs=tuple(logprobs[answer] / mix.tokens[answer] for answer in group),
        answers=tuple(str(answer) for answer in group) if "answers" in needs else None,
        mean_entropies=tuple(entropy / mix.tokens[answer] for answer in group) if "entropies" in needs else None,
    )


def _kept(group_filter: GroupFilter, outcomes: Sequence[Outcome]) -> Bool[Tensor, " G"]:
    """The verdict of the filter on each group, which has to be the same whatever other groups it sees.

    Raises:
        UserError: for a filter that looks at several groups together, or whose verdict changes.
    """
    together = [reason is None for reason in reasons(group_filter, outcomes)]
    some = torch.linspace(0, len(outcomes) - 1, min(len(outcomes), ALONE)).round().long().tolist()
    if any((reasons(group_filter, [outcomes[i]])[0] is None) != together[i] for i in some):
        raise UserError(
            f"filter: {maker_of(group_filter).__name__} keeps a group or drops it by the other groups, or at random; "
            "the audit takes groups one by one: leave it out with filter=KeepAll(), or let it judge each group alone"
        )
    return torch.tensor(together)


def _number_of_groups(completions: int, answers: int) -> int:
    return math.comb(completions + answers - 1, answers - 1)

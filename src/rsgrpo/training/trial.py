"""The parts of a run on a made-up iteration: what is wrong with one of them is told before anything is sampled.

Two prompts of the run, each with N completions of a few tokens that nobody sampled, go through reward, filter,
objective, schedule, shaping and loss, and what comes of them is the report that metrics are tried on. Parts are copied
first, so that what they remember is not of this iteration.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeVar

import lightning
import torch

from rsgrpo.batching.filters import reasons
from rsgrpo.batching.packing import TrainingSequence, pack, sequences_of
from rsgrpo.errors import check_signature, failures_name_their_place, is_ours
from rsgrpo.losses.aggregation import token_weight
from rsgrpo.losses.base import Loss
from rsgrpo.objectives.base import PromptHistory
from rsgrpo.rewards.base import answers, begin
from rsgrpo.schedules.base import Schedule
from rsgrpo.training.lightning_trainer import SeesCompletions
from rsgrpo.training.outcomes import less
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.selection import advantage_context
from rsgrpo.training.shaping import shaped_rows, tokens_of
from rsgrpo.training.total_loss import TotalLoss, checked_term
from rsgrpo.training.update import BehaviourTotals, UpdateTotals, merge
from rsgrpo.types import (
    Completion,
    Group,
    Outcome,
    PackedRow,
    Prompt,
    Score,
    ScoredGroup,
    StepReport,
    TokenStatistics,
)

T = TypeVar("T")

PROMPTS = 2
"""Of the run, which are tried."""


def try_recipe(recipe: Recipe, prompts: Sequence[Prompt]) -> StepReport:
    """One iteration on the first of `prompts`: its report, as metrics get it.

    Raises:
        UserError: naming the part that raised, or returned what it must not.
    """
    scored = [_scored(recipe, prompt) for prompt in prompts[:PROMPTS]]
    outcomes = [_outcome(recipe, group) for group in scored]
    reasons(copied(recipe.filter) or recipe.filter, outcomes)
    advantages, loss, values = _advantages(recipe, outcomes)
    sequences = [
        replace(sequence, origin=(place, number))
        for place, (group, row) in enumerate(zip(scored, advantages.tolist(), strict=True))
        for number, sequence in enumerate(sequences_of(group.group, row, _weight(recipe, loss, outcomes)))
    ]
    totals, behaviour = UpdateTotals(), BehaviourTotals()
    rows = pack(sequences, row_tokens=recipe.batching.row_tokens, device=torch.device("cpu"))
    for row in _shaped(recipe, rows, outcomes):
        _try_loss(recipe, loss, row, totals, behaviour)
    return StepReport(
        iteration=1,
        iterations=recipe.iterations,
        optimizer_steps=1,
        policy_version=1,
        train_set_size=len(prompts),
        outcomes=tuple(outcomes),
        dropped=(None,) * len(outcomes),
        groups=dict(enumerate(scored)),
        advantages=advantages,
        in_force=values,
        updates=(merge([totals]),),
        entropy=behaviour.entropy,
        logprob_gap=behaviour.logprob_gap,
        seconds={"rollout": 1.0, "update": 1.0, "other": 0.0, "step": 2.0},
    )


def copied(part: T) -> T | None:
    """A copy of a part with what it remembers; None for one that cannot be copied, since it holds an open file say."""
    try:
        return deepcopy(part)
    except Exception:  # of a class of the user's
        return None


def check_hooks(callbacks: Sequence[lightning.Callback]) -> None:
    """Refuse a callback of the user's whose methods do not take what they are called with.

    Raises:
        UserError: naming the method, its place and both signatures.
    """
    hooks = {name: hook for name, hook in vars(lightning.Callback).items() if callable(hook) and name[0] != "_"}
    for callback in (callback for callback in callbacks if not is_ours(callback)):
        for name, hook in {**hooks, "on_evaluated": SeesCompletions.on_evaluated}.items():
            own = getattr(type(callback), name, None)
            if own is not None and own is not hook:
                check_signature("callbacks", callback, name, hook)


def _scored(recipe: Recipe, prompt: Prompt) -> ScoredGroup:
    """N completions, the first of them correct; the reward itself says which parts a score has."""
    n, token = recipe.batching.completions_per_prompt, prompt.token_ids[-1]
    completions = tuple(
        Completion(
            token_ids=(token,) * (1 + i % 3),
            logprobs=torch.full((1 + i % 3,), -0.5),
            text=prompt.problem.answer if i == 0 else str(i),
            finished=i != n - 1,
            policy_version=0,
        )
        for i in range(n)
    )
    first, other = begin(recipe.reward, Group(prompt=prompt, completions=completions[:2]))()
    scores = (_score(first, correct=True), *[_score(other, correct=False)] * (n - 1))
    return ScoredGroup(group=Group(prompt=prompt, completions=completions), scores=scores)


def _score(said: Score, *, correct: bool) -> Score:
    return Score(value=float(correct), correct=correct, parts=said.parts)


def _outcome(recipe: Recipe, scored: ScoredGroup) -> Outcome:
    """What is known of a group, with what the objective needs."""
    found: dict[str, Any] = {}
    if "answers" in recipe.needs:
        found["answers"] = answers(recipe.reward, scored.group, scored.scores)
    if "entropies" in recipe.needs:
        found["mean_entropies"] = (0.5,) * len(scored.scores)
    return _penalised(recipe, replace(scored.outcome, **found))


def _advantages(recipe: Recipe, outcomes: Sequence[Outcome]) -> tuple[torch.Tensor, Loss, dict[str, float]]:
    """The advantages and the loss of the first iteration, and what the schedule has set."""
    rewards, context = advantage_context(
        outcomes,
        iteration=1,
        completions=recipe.batching.completions_per_prompt,
        history=[PromptHistory()] * len(outcomes) if "history" in recipe.needs else None,
    )
    objective, schedule = copied(recipe.objective) or recipe.objective, copied(recipe.schedule)
    in_force = (schedule or recipe.schedule).in_force(objective, context, recipe.loss)
    assert in_force.loss is not None
    advantages = in_force.advantages(rewards, context)
    if schedule is not None:
        with failures_name_their_place("schedule", schedule, "observe", like=Schedule.observe):
            schedule.observe(context.prompt_ids, context.accuracies.tolist())
    return advantages, in_force.loss, dict(in_force.values)


def _weight(recipe: Recipe, loss: Loss, outcomes: Sequence[Outcome]) -> Any:
    lengths = [length for outcome in outcomes for length in outcome.lengths]
    return token_weight(
        lengths,
        loss.aggregation,
        max_new_tokens=recipe.sampling.max_new_tokens,
        sequences=recipe.batching.completions_per_update,
    )


def _shaped(recipe: Recipe, rows: Sequence[PackedRow], outcomes: Sequence[Outcome]) -> Sequence[PackedRow]:
    """The rows with their tokens' advantages, where the policy is as sure of every token as of every other."""
    if recipe.shaping.off:
        return rows
    seen = [
        replace(
            row,
            old_logprobs=torch.full_like(row.sampler_logprobs, -0.5),
            old_entropy=torch.full_like(row.sampler_logprobs, 0.5),
        )
        for row in rows
    ]
    shaping = copied(recipe.shaping) or recipe.shaping
    return shaped_rows(shaping, seen, tokens_of(seen, outcomes, (recipe.seed, "trial")))


def _try_loss(
    recipe: Recipe, surrogate: Loss, row: PackedRow, totals: UpdateTotals, behaviour: BehaviourTotals
) -> None:
    """One forward and backward pass from log-probs on, as those of a policy are."""
    terms = {name: copied(term) or term for name, term in recipe.terms_of("loss").items()}
    # The correction of an engine that needs one, whichever the run has.
    loss = TotalLoss(surrogate, terms, recipe.correction.for_engine(half_precision=True), recipe.shaping)
    sampler = row.sampler_logprobs
    row = replace(row, reference_logprobs=sampler)
    policy = torch.full_like(sampler, -0.5, requires_grad=True)  # what a policy's weights are to a loss
    tokens = TokenStatistics(policy * 1.0, (policy * -1.0) if loss.entropy_gradient else sampler.neg())
    behaviour.add(row, tokens)
    output = loss(tokens, tokens.logprobs.detach(), row)
    row_loss = (row.weights * output.per_token).sum()
    with failures_name_their_place("loss", surrogate, "__call__"):
        row_loss.backward()
    loss.check_backward()
    totals.add(row, row_loss.detach(), output)


def _penalised(recipe: Recipe, outcome: Outcome) -> Outcome:
    """An outcome with the terms of the reward taken off it, as they would be of log-probs of -.5."""
    row = replace(_row(outcome), reference_logprobs=torch.full((len(outcome.scores),), -0.6))
    tokens = TokenStatistics(torch.full((len(outcome.scores),), -0.5), torch.full((len(outcome.scores),), 0.5))
    terms = recipe.terms_of("reward")
    found = [checked_term(name, copied(t) or t, tokens, row).per_token for name, t in terms.items()]
    return less(outcome, list(terms), torch.stack(found, dim=1)) if terms else outcome


def _row(outcome: Outcome) -> PackedRow:
    """Completions of one token each, which nobody sampled."""
    sequence = TrainingSequence(
        prompt_ids=(0,), completion_ids=(0,), advantage=0.0, weight=0.0, sampler_logprobs=torch.full((1,), -0.5)
    )
    n = len(outcome.scores)
    (row,) = pack([sequence] * n, row_tokens=2 * n, device=torch.device("cpu"))
    return row

"""The update of a run, made for every draw of all its prompts at once: what the audit of a recipe has to agree with.

Outcomes, filter, advantages, dealing and token weights, loss and terms are those of a run; each prompt of the
iteration has logits of its own, by which the gradient is taken.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from rsgrpo.audit.groups import RecipeParts
from rsgrpo.audit.mix import Mix
from rsgrpo.batching.filters import reasons
from rsgrpo.batching.packing import TrainingSequence, row_of
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.training.dealing import Trained, trained_of_updates
from rsgrpo.training.optimizer import AdamW
from rsgrpo.training.outcomes import less
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.selection import Selection, advantage_context
from rsgrpo.training.total_loss import TotalLoss, checked_term
from rsgrpo.types import (
    Completion,
    Group,
    Outcome,
    PackedRow,
    Problem,
    Prompt,
    Sampling,
    Score,
    ScoredGroup,
    TokenStatistics,
)
from tests.training.parity_reward import ParityReward


class Enumerated(NamedTuple):
    """Of the gradient of an iteration's updates together, for one prompt of each kind, and the noise of all of them."""

    mean: Tensor
    noise: float


def every_update(parts: RecipeParts, mix: Mix, rewards: Sequence[float], updated: Tensor) -> Enumerated:
    """The gradient that is ascended, over every order of the prompts and every draw of every group."""
    plan, policies = parts.batching, mix.policies()
    kinds = [i for i in range(len(policies)) for _ in range(plan.prompts_per_iteration // len(policies))]
    mean, square = torch.zeros(len(kinds), policies.shape[1], dtype=torch.float64), 0.0
    orders = sorted(set(itertools.permutations(kinds))) if plan.updates_per_epoch > 1 else [tuple(kinds)]
    recipe = _recipe(parts, mix)
    for order in orders:
        for drawn, chance in _draws(policies, order, plan.completions_per_prompt):
            gradient = _gradient(recipe, parts, mix, rewards, policies, updated, order, drawn)
            weight = chance / len(orders)
            # The prompts of one kind are alike, so theirs may be written under the first, second, ... of the kind.
            places = sorted(range(len(order)), key=lambda place: order[place])
            mean += weight * gradient[places]
            square += weight * gradient.square().sum().item()
    by_kind = torch.stack([mean[[k == kind for k in kinds]].mean(dim=0) for kind in range(len(policies))])
    each = len(kinds) // len(policies)
    size = each * by_kind.square().sum().item()
    return Enumerated(by_kind, math.sqrt(square - size) / math.sqrt(size))


def _draws(policies: Tensor, order: Sequence[int], n: int) -> Iterator[tuple[list[tuple[int, ...]], float]]:
    """Every group of every prompt, its completions in ascending order, with the chance of all of them."""
    groups = list(itertools.combinations_with_replacement(range(policies.shape[1]), n))
    ways = [math.factorial(n) / math.prod(math.factorial(c) for c in Counter(group).values()) for group in groups]
    for numbers in itertools.product(range(len(groups)), repeat=len(order)):
        chance = 1.0
        for kind, number in zip(order, numbers, strict=True):
            chance *= ways[number] * math.prod(policies[kind, answer].item() for answer in groups[number])
        yield [groups[number] for number in numbers], chance


def _gradient(
    recipe: Recipe,
    parts: RecipeParts,
    mix: Mix,
    rewards: Sequence[float],
    policies: Tensor,
    updated: Tensor,
    order: Sequence[int],
    drawn: Sequence[tuple[int, ...]],
) -> Tensor:
    """Of all updates of one pass over an iteration, by the logits of each of its P prompts: [P, M]."""
    groups = {
        place: _group(place, policies[kind], mix, rewards, group)
        for place, (kind, group) in enumerate(zip(order, drawn, strict=True))
    }
    outcomes = [
        _penalised(parts, mix, groups[place].outcome, policies[kind], drawn[place]) for place, kind in enumerate(order)
    ]
    dropped = reasons(parts.filter, outcomes)
    kept = [outcome for outcome, reason in zip(outcomes, dropped, strict=True) if reason is None]
    gradient = torch.zeros(len(order), policies.shape[1], dtype=torch.float64)
    if not kept:
        return gradient
    n = parts.batching.completions_per_prompt
    values, context = advantage_context(kept, iteration=1, completions=n, history=None)
    in_force = parts.schedule.in_force(parts.objective, context, parts.loss)
    assert in_force.loss is not None
    advantages = in_force.advantages(values, context)
    selection = Selection(outcomes=outcomes, dropped=dropped, advantages=advantages, loss=in_force.loss, in_force={})
    terms = {name: term for name, term in parts.terms.items() if term.place == "loss"}
    for update in trained_of_updates(groups, selection, recipe):
        if update:
            now, before = updated[list(order)], policies[list(order)]
            gradient -= _of_update(update, TotalLoss(in_force.loss, terms), mix, drawn, before, now)
    return gradient


def _of_update(
    update: Sequence[Trained], loss: TotalLoss, mix: Mix, drawn: Sequence[tuple[int, ...]], before: Tensor, now: Tensor
) -> Tensor:
    """The gradient of the weighted loss of all tokens, of which the first of a completion decides it."""
    logits = now.log().requires_grad_()
    policy = logits.softmax(dim=1)
    entropies = -(policy * policy.log()).sum(dim=1)
    zero = torch.zeros((), dtype=torch.float64)
    seen: dict[str, list[Tensor]] = {name: [] for name in ("now", "entropy", "before", "reference")}
    for s in update:
        answer, others = drawn[s.place][s.number], [zero] * (s.completion_tokens - 1)
        seen["now"] += [policy[s.place, answer].log(), *others]
        seen["entropy"] += [entropies[s.place], *others]
        seen["before"] += [before[s.place, answer].log(), *others]
        seen["reference"] += [torch.tensor(mix.reference[answer], dtype=torch.float64).log(), *others]
    tokens = {name: torch.stack(values) for name, values in seen.items()}
    row = _row([s.completion_tokens for s in update], tokens["before"], tokens["reference"])
    of = row.sequence_of_target
    row = replace(
        row,
        advantages=torch.tensor([s.advantage for s in update], dtype=torch.float64)[of],
        weights=torch.tensor([s.weight for s in update], dtype=torch.float64)[of],
    )
    output = loss(TokenStatistics(tokens["now"], tokens["entropy"]), tokens["before"], row)
    return torch.autograd.grad((row.weights * output.per_token).sum(), logits)[0]


def _group(place: int, policy: Tensor, mix: Mix, rewards: Sequence[float], answers: Sequence[int]) -> ScoredGroup:
    prompt = Prompt(problem=Problem(id=f"prompt {place}", text="", answer=""), token_ids=(0,))
    completions = tuple(
        Completion(
            token_ids=(1 + answer, *[0] * (mix.tokens[answer] - 1)),
            logprobs=_first(policy[answer].log(), mix.tokens[answer]),
            text=str(answer),
            finished=True,
            policy_version=0,
        )
        for answer in answers
    )
    scores = tuple(Score(value=rewards[answer], correct=mix.rewards[answer] > 0) for answer in answers)
    return ScoredGroup(group=Group(prompt=prompt, completions=completions), scores=scores)


def _penalised(parts: RecipeParts, mix: Mix, outcome: Outcome, policy: Tensor, answers: Sequence[int]) -> Outcome:
    """The outcome less what the terms of the reward take off it."""
    terms = {name: term for name, term in parts.terms.items() if term.place == "reward"}
    if not terms:
        return outcome
    lengths = [mix.tokens[answer] for answer in answers]
    entropy = -(policy * policy.log()).sum()
    before = torch.cat([_first(policy[answer].log(), mix.tokens[answer]) for answer in answers])
    began = torch.tensor(mix.reference, dtype=torch.float64).log()
    row = _row(lengths, before, torch.cat([_first(began[a], mix.tokens[a]) for a in answers]))
    tokens = TokenStatistics(before, torch.cat([_first(entropy, length) for length in lengths]))
    taken = [checked_term(name, term, tokens, row).per_token.split(lengths) for name, term in terms.items()]
    return less(outcome, list(terms), torch.tensor([[part.sum() for part in parts] for parts in taken]).double().T)


def _row(lengths: Sequence[int], before: Tensor, reference: Tensor) -> PackedRow:
    """Completions of these lengths, with log-probs in float64."""
    sequences = [
        TrainingSequence(
            prompt_ids=(0,), completion_ids=(0,) * n, advantage=0.0, weight=0.0, sampler_logprobs=torch.zeros(n)
        )
        for n in lengths
    ]
    row = row_of(sequences, torch.device("cpu"))
    return replace(row, sampler_logprobs=before, reference_logprobs=reference)


def _first(value: Tensor, length: int) -> Tensor:
    return torch.cat([value[None], torch.zeros(length - 1, dtype=torch.float64)])


def _recipe(parts: RecipeParts, mix: Mix) -> Recipe:
    sampling = Sampling(max_new_tokens=max(mix.tokens))
    return Recipe(
        objective=parts.objective,
        batching=parts.batching,
        sampling=sampling,
        reward=ParityReward(),
        optimizer=AdamW(lr=1e-3),
        evaluation=EvaluationPlan(sampling=sampling, validation_completions=4, test_completions=4, k=(1, 4)),
        iterations=1,
    )

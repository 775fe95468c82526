"""Parts that are right alone and wrong together: refused, or remarked on, before any weight is loaded."""

import torch

from rsgrpo.batching.filters import DropEqualRewards, KeepAll
from rsgrpo.errors import FieldError, UserError
from rsgrpo.losses.base import Loss
from rsgrpo.losses.reinforce import ReinforceLoss
from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.objectives.checked import checked_advantages
from rsgrpo.rewards.base import has_one_right_answer
from rsgrpo.shaping.base import UpdateTokens
from rsgrpo.shaping.kl_cov import KLCov
from rsgrpo.shaping.over_ranks import OverRanks
from rsgrpo.terms.kl import KL
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.shaping import checked_shaping
from rsgrpo.training.trial import copied

TEACHES = 1e-6
"""Largest |advantage| in a group of equal rewards that teaches nothing."""

PENALTY = 0.01
"""What a term may take off a reward, where an objective is tried on such rewards."""


def refuse_contradictions(recipe: Recipe) -> None:
    """Refuse parts that contradict each other.

    Raises:
        UserError: naming the field, the reason and the cure.
    """
    check_aggregation(recipe.loss)
    _check_shaping(recipe)
    _check_refills(recipe)
    _check_penalties(recipe)


def check_aggregation(loss: Loss) -> None:
    """Refuse an aggregation under which the one ratio of a completion would count as often as it has tokens.

    Raises:
        FieldError: naming the aggregation that is right.
    """
    if loss.sequence_ratio and loss.aggregation != "sequence_mean":
        raise FieldError(
            "aggregation",
            loss.aggregation,
            f"counts a completion as often as it has tokens, and {type(loss).__name__} has one ratio for the "
            "whole of it, which would count that often too",
            "use aggregation=sequence_mean (Dr. GRPO comes with constant_sum)",
            aggregation="loss",
        )


def _check_shaping(recipe: Recipe) -> None:
    if recipe.loss.sequence_ratio and not recipe.shaping.off:
        raise FieldError(
            "shaping",
            type(recipe.shaping).__name__,
            f"gives each token of a completion an advantage of its own, and {type(recipe.loss).__name__} has one ratio "
            "for the whole of it, whose gradient would know their mean alone",
            "use shaping=NoShaping(), or a loss with a ratio for each token, loss=ClipLoss()",
        )


def remarks(recipe: Recipe) -> list[str]:
    """What is not a contradiction and still seldom meant, one sentence each."""
    found = []
    if isinstance(recipe.filter, DropEqualRewards):
        if any(getattr(term, "coefficient", 1) for term in recipe.terms_of("reward").values()):
            found.append(
                "note: a term of the reward makes the rewards of a group differ, so filter=DropEqualRewards() "
                "drops hardly any group"
            )
        elif lost := groups_that_teach(recipe):
            found.append(
                f"note: this objective learns from groups that are {' and '.join(lost)} too, and "
                "filter=DropEqualRewards() drops them; filter=KeepAll() keeps them"
            )
    for name, term in recipe.terms_of("reward").items():
        if isinstance(term, KL) and term.estimator != "k1" and term.coefficient:
            found.append(
                f"note: {term.estimator} off the reward (term.{name}) does not have the gradient of the KL divergence, "
                "and k3 may even pull away from the reference; k1 has it there, and k2 in the loss"
            )
    found += _remarks_on_shaping(recipe)
    updates = recipe.batching.updates_per_epoch * recipe.batching.epochs
    if isinstance(recipe.loss, ReinforceLoss) and updates > 1:
        found.append(
            "note: loss=ReinforceLoss() takes every token as drawn from the policy that is updated, and with "
            f"{updates} updates per iteration that is untrue after the first; loss=CISPOLoss() has the ratio as well"
        )
    return found


def _remarks_on_shaping(recipe: Recipe) -> list[str]:
    found = []
    if lost := groups_that_shaping_teaches(recipe):
        groups = f"groups that are {' and '.join(lost)}"
        if any(getattr(term, "coefficient", 1) for term in recipe.terms_of("reward").values()):
            found.append(
                f"note: this shaping learns from {groups}, with equal rewards, and a term of the reward makes nearly "
                "all rewards differ; use a term of the loss"
            )
        elif isinstance(recipe.filter, DropEqualRewards):
            found.append(
                f"note: this shaping learns from {groups}, and filter=DropEqualRewards() drops them; filter=KeepAll() "
                "keeps them"
            )
    if isinstance(recipe.shaping, KLCov) and recipe.batching.updates_per_epoch * recipe.batching.epochs == 1:
        found.append(
            "note: shaping=KLCov() has no gradient in the first update of an iteration, and this run has no other; "
            "more updates or epochs give it one"
        )
    return found


def groups_that_teach(recipe: Recipe) -> list[str]:
    """Which groups of equal rewards, `all right` or `all wrong`, the objective gives an advantage.

    All values that a schedule moves between are tried, and so are groups whose answers differ, where they may.
    """
    n, names = recipe.batching.completions_per_prompt, ["all right", "all wrong"]
    rewards = torch.stack([torch.ones(n), torch.zeros(n)])
    contexts = [_context(names, rewards, recipe)]
    if "answers" in recipe.needs and not has_one_right_answer(recipe.reward):
        contexts.append(_context(names, rewards, recipe, answers=(torch.arange(n) % 3 == 0).long().expand(2, n)))
    objectives = list(recipe.schedule.tried(recipe.objective))
    tried = [checked_advantages(o, rewards, context) for o in objectives for context in contexts]
    taught = torch.stack(tried).abs().amax(dim=(0, 2)) > TEACHES
    return [name for name, teaches in zip(names, taught, strict=True) if teaches]


def groups_that_shaping_teaches(recipe: Recipe) -> list[str]:
    """Which groups of equal rewards, `all right` or `all wrong`, get an advantage from shaping alone."""
    if recipe.shaping.off:
        return []
    tokens = 2 * recipe.batching.completions_per_prompt  # two of each completion
    right = torch.arange(2 * tokens) < tokens
    numbers = (1 + torch.arange(2 * tokens)) / (1 + 2 * tokens)  # all different
    made_up = UpdateTokens(
        logprobs=-numbers,
        entropy=numbers,
        advantages=torch.zeros(2 * tokens),
        sequence=torch.arange(2 * tokens) // 2,
        group=(~right).long(),
        correct=right,
        all_right=right,
        all_wrong=~right,
        over_ranks=OverRanks(gather=lambda mine: [mine]),
        draw=numbers.double,
    )
    advantages = checked_shaping(copied(recipe.shaping) or recipe.shaping, made_up).advantages
    taught = [bool((advantages[of].abs() > TEACHES).any()) for of in (right, ~right)]
    return [name for name, teaches in zip(("all right", "all wrong"), taught, strict=True) if teaches]


def _check_refills(recipe: Recipe) -> None:
    refills = recipe.batching.max_refills
    if not refills:
        return
    if isinstance(recipe.filter, KeepAll):
        raise FieldError(
            "max_refills",
            refills,
            "samples prompts in the place of groups that the filter drops, and filter=KeepAll() drops none",
            "use max_refills=0, or filter=DropEqualRewards()",
            max_refills="batching",
        )
    if isinstance(recipe.filter, DropEqualRewards) and not recipe.terms_of("reward"):
        for part, lost in (
            (recipe.objective, groups_that_teach(recipe)),
            (recipe.shaping, groups_that_shaping_teaches(recipe)),
        ):
            if not lost:
                continue
            raise FieldError(
                "max_refills",
                refills,
                f"replaces groups that are {' and '.join(lost)}, and {type(part).__name__} learns from those: its "
                "expected gradient would be another one",
                "use max_refills=0 and filter=KeepAll()",
                max_refills="batching",
            )


def _check_penalties(recipe: Recipe) -> None:
    """Refuse terms of the reward beside an objective that takes no such rewards."""
    terms = recipe.terms_of("reward")
    if not terms:
        return
    n = recipe.batching.completions_per_prompt
    rewards = (torch.arange(n) % 2).double()[None] - PENALTY * torch.arange(n)
    try:
        checked_advantages(recipe.objective, rewards, _context(["tried"], rewards, recipe))
    except UserError as error:
        name = next(iter(terms))
        raise UserError(
            f"term.{name} is taken off the reward of each completion, and {error}; or use a term of the loss, such as "
            "KL(estimator='k2', place='loss')"
        ) from error


def _context(
    names: list[str], rewards: torch.Tensor, recipe: Recipe, answers: torch.Tensor | None = None
) -> AdvantageContext:
    n = rewards.shape[1]
    logprobs = -torch.arange(1.0, n + 1).expand(len(rewards), n) / n
    return AdvantageContext.of_one_token(names, rewards, logprobs, answers=answers, needs=recipe.needs)

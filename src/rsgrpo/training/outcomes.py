"""What came of this rank's groups, with all that objective and terms ask of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.rewards.base import answers
from rsgrpo.terms.base import Term
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.rows import sums_over_completions
from rsgrpo.training.total_loss import checked_term
from rsgrpo.types import Outcome, PackedRow, ScoredGroup, TokenStatistics

Seen = Callable[[PackedRow, Mapping[str, Term]], tuple[PackedRow, TokenStatistics]]
"""A row with the reference's log-probs where terms need them, and what the policy that was sampled from says of it."""


def outcomes_of(
    groups: Mapping[int, ScoredGroup], recipe: Recipe, device: torch.device, seen: Seen
) -> dict[int, Outcome]:
    """The outcome of each group, by place; answers, entropies and what terms take off the rewards only if asked for."""
    outcomes = {place: group.outcome for place, group in groups.items()}
    if "answers" in recipe.needs:
        found = {place: answers(recipe.reward, group.group, group.scores) for place, group in groups.items()}
        outcomes = {place: replace(outcome, answers=found[place]) for place, outcome in outcomes.items()}
    terms = recipe.terms_of("reward")
    if not terms and "entropies" not in recipe.needs:
        return outcomes

    def numbers_of(row: PackedRow) -> list[Float[Tensor, " T"]]:
        row, tokens = seen(row, terms)
        return [tokens.entropy, *(checked_term(name, term, tokens, row).per_token for name, term in terms.items())]

    sums = sums_over_completions(groups, recipe, device, numbers_of)
    if "entropies" in recipe.needs:
        for place, outcome in outcomes.items():
            means = sums[place][:, 0] / torch.tensor(outcome.lengths)
            outcomes[place] = replace(outcome, mean_entropies=tuple(means.tolist()))
    if terms:
        outcomes = {place: less(outcome, list(terms), sums[place][:, 1:]) for place, outcome in outcomes.items()}
    return outcomes


def less(outcome: Outcome, names: list[str], penalties: Float[Tensor, "N F"]) -> Outcome:
    """An outcome with the penalties of F terms taken off its rewards, each a part of its score."""
    scores = []
    for score, row in zip(outcome.scores, penalties.tolist(), strict=True):
        parts = {f"{name}_penalty": penalty for name, penalty in zip(names, row, strict=True)}
        scores.append(replace(score, value=score.value - sum(row), parts={**score.parts, **parts}))
    return replace(outcome, scores=tuple(scores))

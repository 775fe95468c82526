"""From the rows of an iteration, with the advantages of completions, to the same rows with those of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.losses.base import check_one_per_token
from rsgrpo.objectives.base import differ
from rsgrpo.seeds import derive_seed
from rsgrpo.shaping.base import Shaped, Shaping, UpdateTokens
from rsgrpo.shaping.over_ranks import OverRanks
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Outcome, PackedRow, TokenStatistics


def shaped_updates(
    updates: Sequence[Sequence[PackedRow]], outcomes: Sequence[Outcome], recipe: Recipe, *, iteration: int
) -> list[list[PackedRow]]:
    """This rank's rows of each update with what the recipe's shaping makes of their tokens. A collective.

    Where the policy says something of a token that is not finite, on any rank, nothing is shaped: the loss of such an
    update is not finite either, and it is skipped.

    Args:
        updates: rows with `old_logprobs` and `old_entropy`.
        outcomes: those of all groups of all ranks, by place.
        iteration: the one that random numbers are drawn for.

    Raises:
        UserError: naming a shaping that raised, or returned what it must not.
    """
    tokens = [
        tokens_of(rows, outcomes, (recipe.seed, "shaping", iteration, number)) if rows else None
        for number, rows in enumerate(updates)
    ]
    sound = all(bool((of.logprobs + of.entropy).isfinite().all()) for of in tokens if of is not None)
    if not all(ranks.gather(sound)):
        return [list(rows) for rows in updates]
    shaped = [
        [] if of is None else shaped_rows(recipe.shaping, rows, of) for rows, of in zip(updates, tokens, strict=True)
    ]
    ranks.barrier()  # one that has failed after its last collective is heard here
    return shaped


def tokens_of(rows: Sequence[PackedRow], outcomes: Sequence[Outcome], seed: tuple[int | str, ...]) -> UpdateTokens:
    """The loss tokens of one update that this rank trains, in row order.

    Args:
        rows: with `origins`, `old_logprobs` and `old_entropy`.
        outcomes: by place.
        seed: what `UpdateTokens.uniform` depends on beside the completion and the position in it.
    """
    device = rows[0].target_ids.device
    first = [0, *torch.tensor([len(row.origins) for row in rows]).cumsum(0).tolist()]
    sequence = torch.cat([row.sequence_of_target + start for row, start in zip(rows, first, strict=False)])
    origins = [origin for row in rows for origin in row.origins]
    standings = [_standing(outcomes[place]) for place, _ in origins]
    equal = torch.tensor([[*standing] for standing in standings], dtype=torch.bool).view(-1, 2)

    def of_tokens(values: Sequence[Any], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)[sequence]

    def draw() -> Float[Tensor, " T"]:
        lengths = sequence.bincount(minlength=len(origins)).tolist()
        seeds = [derive_seed(*seed, *origin) for origin in origins]
        return torch.cat([torch.empty(0, dtype=torch.float64), *map(_uniform, lengths, seeds)]).to(device)

    return UpdateTokens(
        logprobs=torch.cat([_of_behaviour(row.old_logprobs) for row in rows]),
        entropy=torch.cat([_of_behaviour(row.old_entropy) for row in rows]),
        advantages=torch.cat([row.advantages for row in rows]),
        sequence=sequence,
        group=of_tokens([place for place, _ in origins], torch.long),
        correct=of_tokens([outcomes[place].scores[number].correct for place, number in origins], torch.bool),
        all_right=of_tokens(equal[:, 0].tolist(), torch.bool),
        all_wrong=of_tokens(equal[:, 1].tolist(), torch.bool),
        over_ranks=OverRanks(gather=ranks.gather),
        draw=draw,
    )


def shaped_rows(shaping: Shaping, rows: Sequence[PackedRow], tokens: UpdateTokens) -> list[PackedRow]:
    """The rows of one update with the advantages, marks and diagnostics of their tokens; with `shaped_fraction` too,
    the share of tokens that have another advantage than their completion, or a mark."""
    said = checked_shaping(shaping, tokens)
    advantages = said.advantages.to(tokens.advantages)
    changed = advantages != tokens.advantages
    if said.marks is not None:
        changed = changed | (said.marks != 0)
    if "shaped_fraction" in said.diagnostics:
        raise UserError(
            f"shaping: {type(shaping).__name__} returned the diagnostic 'shaped_fraction', which every shaping has; "
            "rename it"
        )
    diagnostics = {**said.diagnostics, "shaped_fraction": changed}
    ends = torch.tensor([0, *(row.num_loss_tokens for row in rows)]).cumsum(0).tolist()
    return [
        replace(
            row,
            advantages=advantages[start:end],
            marks=None if said.marks is None else said.marks[start:end].to(advantages),
            diagnostics={name: values[start:end] for name, values in diagnostics.items()},
        )
        for row, (start, end) in zip(rows, pairwise(ends), strict=True)
    ]


def checked_shaping(shaping: Shaping, tokens: UpdateTokens) -> Shaped:
    """What a shaping says of the tokens of an update, checked to be finite numbers without a gradient, one per token.

    Raises:
        UserError: naming the class and what is wrong with its result.
    """
    with failures_name_their_place("shaping", shaping, "__call__", like=Shaping.__call__):
        said: object = shaping(tokens)
    name = type(shaping).__name__
    if not isinstance(said, Shaped):
        raise UserError(
            f"shaping: {name} returned {type(said).__name__}; return rsgrpo.shaping.base.Shaped(advantages=...)"
        )
    if not isinstance(said.diagnostics, Mapping):
        raise UserError(
            f"shaping: {name} returned diagnostics of type {type(said.diagnostics).__name__}; return one tensor under "
            "each name: {'factor': ...}"
        )
    numbers = {"advantages": said.advantages, **({} if said.marks is None else {"marks": said.marks})}
    check_one_per_token("shaping", name, {**numbers, **said.diagnostics}, list(tokens.logprobs.shape))
    for what, values in numbers.items():
        if values.requires_grad:
            raise UserError(f"shaping: {name} returned {what} with a gradient; return {what}.detach()")
        if not bool(values.isfinite().all()):
            raise UserError(f"shaping: {name} returned {what} that are not finite; bound what they are computed from")
    return said


def checked_added_loss(
    shaping: Shaping, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], marks: Float[Tensor, " T"]
) -> Float[Tensor, " T"]:
    """What a shaping adds to the loss of a row, checked to be one number per token.

    Raises:
        UserError: naming the class and what is wrong with its result.
    """
    with failures_name_their_place("shaping", shaping, "added_loss", like=Shaping.added_loss):
        added = shaping.added_loss(tokens, old_logprobs, marks)
    check_one_per_token("shaping", type(shaping).__name__, {"added_loss": added}, list(marks.shape))
    return added


def _standing(outcome: Outcome) -> tuple[bool, bool]:
    """Whether a group of equal rewards is all right, and whether it is all wrong."""
    if bool(differ(torch.tensor([outcome.rewards], dtype=torch.float64))):
        return False, False
    return outcome.num_correct == len(outcome.scores), outcome.num_correct == 0


def _uniform(length: int, seed: int) -> Float[Tensor, " T"]:
    return torch.rand(length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _of_behaviour(values: Float[Tensor, " T"] | None) -> Float[Tensor, " T"]:
    assert values is not None
    return values

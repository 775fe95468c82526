"""From the groups that are trained on to packed rows, the same number of them on every rank."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.batching.packing import empty_row, pack, packing_order, sequences_of
from rsgrpo.batching.plan import deal
from rsgrpo.distributed import ranks
from rsgrpo.losses.aggregation import token_weight
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.selection import Selection
from rsgrpo.types import PackedRow, ScoredGroup


def rows_of_updates(
    groups: Mapping[int, ScoredGroup], selection: Selection, recipe: Recipe, device: torch.device
) -> list[list[PackedRow]]:
    """This rank's packed rows of each update of an epoch; an update that got no group has no rows.

    A token's weight counts the tokens of all ranks, so the sum of all rows of all ranks is one big batch.
    """
    advantages_of = dict(zip(selection.kept, selection.advantages.tolist(), strict=True))
    updates = []
    for hand in deal(selection.kept, recipe.batching.updates_per_epoch):
        weight = token_weight(
            [length for place in hand for length in selection.outcomes[place].lengths],
            selection.loss.aggregation,
            max_new_tokens=recipe.sampling.max_new_tokens,
            sequences=recipe.batching.completions_per_update,
        )
        mine = [
            sequence
            for place in hand
            if place in groups
            for sequence in sequences_of(groups[place].group, advantages_of[place], weight)
        ]
        updates.append(pack(mine, row_tokens=recipe.batching.row_tokens, device=device))
    return in_step(updates, device)


def in_step(updates: Sequence[list[PackedRow]], device: torch.device) -> list[list[PackedRow]]:
    """With empty rows where other ranks have more: forward and backward are collectives, which all take part in."""
    most = [max(numbers) for numbers in zip(*ranks.gather([len(rows) for rows in updates]), strict=True)]
    return [rows + [empty_row(device)] * (number - len(rows)) for rows, number in zip(updates, most, strict=True)]


def sums_over_completions(
    groups: Mapping[int, ScoredGroup],
    recipe: Recipe,
    device: torch.device,
    numbers_of: Callable[[PackedRow], Sequence[Float[Tensor, " T"]]],
) -> dict[int, Float[Tensor, "N F"]]:
    """F numbers of each token, summed over each completion of this rank's groups, in float64, by place.

    This takes a forward pass of its own over all groups, those included that a filter will drop.
    """

    def untrained(length: int) -> float:
        return 0.0

    places = [(place, number) for place in sorted(groups) for number in range(len(groups[place].scores))]
    sequences = [
        sequence
        for place in sorted(groups)
        for sequence in sequences_of(groups[place].group, [0.0] * len(groups[place].scores), untrained)
    ]
    (rows,) = in_step([pack(sequences, row_tokens=recipe.batching.row_tokens, device=device)], device)
    sums: list[Tensor] = []
    for row in rows:
        numbers = torch.stack([number.double() for number in numbers_of(row)], dim=1)
        if row.num_loss_tokens:
            zeros = numbers.new_zeros(len(row.lengths), numbers.shape[1])
            sums += zeros.index_add(0, row.sequence_of_target, numbers).cpu().unbind()
    of = {places[i]: found for i, found in zip(packing_order(sequences), sums, strict=True)}
    return {place: torch.stack([of[place, n] for n in range(len(groups[place].scores))]) for place in groups}

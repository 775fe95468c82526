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


def mean_entropies(
    groups: Mapping[int, ScoredGroup],
    recipe: Recipe,
    device: torch.device,
    entropy_of: Callable[[PackedRow], Float[Tensor, " T"]],
) -> dict[int, tuple[float, ...]]:
    """The policy's mean entropy per token of each completion of this rank's groups, by place.

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
    means: list[float] = []
    for row in rows:
        entropy = entropy_of(row).double()
        if row.num_loss_tokens:
            sums = entropy.new_zeros(len(row.lengths)).index_add(0, row.sequence_of_target, entropy)
            means += (sums / row.sequence_of_target.bincount()).tolist()
    mean_of = {places[i]: mean for i, mean in zip(packing_order(sequences), means, strict=True)}
    return {place: tuple(mean_of[place, n] for n in range(len(groups[place].scores))) for place in groups}

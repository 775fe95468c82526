"""From the groups that are trained on to packed rows, the same number of them on every rank."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.batching.balance import rows_of_ranks
from rsgrpo.batching.packing import row_of, sequences_of, shortest_first
from rsgrpo.distributed import ranks
from rsgrpo.training.dealing import fetched, trained_of_updates
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.selection import Selection
from rsgrpo.types import PackedRow, ScoredGroup


def rows_of_updates(
    groups: Mapping[int, ScoredGroup], selection: Selection, recipe: Recipe, device: torch.device
) -> list[list[PackedRow]]:
    """This rank's packed rows of each update of an epoch; an update that got no group has no rows. A collective.

    All ranks deal the sequences of an update alike, by their lengths, whoever has sampled them.
    """
    updates = trained_of_updates(groups, selection, recipe)
    dealt = [
        rows_of_ranks([s.tokens for s in update], ranks=ranks.count(), row_tokens=recipe.batching.row_tokens)
        for update in updates
    ]
    trained_by = {
        update[i]: rank
        for update, of_ranks in zip(updates, dealt, strict=True)
        for rank, rows in enumerate(of_ranks)
        for row in rows
        for i in row
    }
    here = fetched(groups, trained_by, device)
    return [
        [row_of([here[update[i]] for i in row], device) for row in of_ranks[ranks.index()]]
        for update, of_ranks in zip(updates, dealt, strict=True)
    ]


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
    packed = shortest_first([len(s.prompt_ids) + len(s.completion_ids) for s in sequences], recipe.batching.row_tokens)
    most = max(ranks.gather(len(packed)))  # a pass is a collective: without rows of its own a rank keeps step
    rows = [row_of([sequences[i] for i in row], device) for row in packed + [[]] * (most - len(packed))]
    sums: list[Tensor] = []
    for row in rows:
        numbers = torch.stack([number.double() for number in numbers_of(row)], dim=1)
        if row.num_loss_tokens:
            zeros = numbers.new_zeros(len(row.lengths), numbers.shape[1])
            sums += zeros.index_add(0, row.sequence_of_target, numbers).cpu().unbind()
    of = {places[i]: found for i, found in zip(chain(*packed), sums, strict=True)}
    return {place: torch.stack([of[place, n] for n in range(len(groups[place].scores))]) for place in groups}

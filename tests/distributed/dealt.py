"""A made-up iteration of uneven ranks, and what the rows of its updates hold."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from rsgrpo.batching.packing import TrainingSequence, sequences_of
from rsgrpo.batching.plan import deal
from rsgrpo.losses.aggregation import token_weight
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.selection import Selection
from rsgrpo.types import Completion, Group, PackedRow, Problem, Prompt, Score, ScoredGroup
from tests.fitting.small import recipe

PLACES, COMPLETIONS = 13, 4
DROPPED = (0, 1, 4, 9)
LOSS = ClipLoss(aggregation="sequence_mean")


def recipe_of(row_tokens: int) -> Recipe:
    """Four updates, to which the kept groups are dealt."""
    small = recipe()
    batching = replace(small.batching, prompts_per_iteration=8, prompts_per_update=2, row_tokens=row_tokens)
    return replace(small, loss=LOSS, batching=batching)


def rank_of(place: int, ranks: int) -> int:
    """Who samples a group: eight of a first draw, dealt one by one, then five of a refill, dealt anew."""
    return (place if place < 8 else place - 8) % ranks


def all_groups() -> dict[int, ScoredGroup]:
    """In which every token id and log-prob tells where it comes from, and completions are of 1 to 40 tokens."""
    generator = torch.Generator().manual_seed(3)
    groups = {}
    for place in range(PLACES):
        lengths = torch.randint(1, 41, (COMPLETIONS,), generator=generator).tolist()
        completions = tuple(
            Completion(
                token_ids=tuple(10_000 * place + 100 * number + i for i in range(length)),
                logprobs=-torch.rand(length, generator=generator),
                text="",
                finished=True,
                policy_version=0,
            )
            for number, length in enumerate(lengths)
        )
        prompt = Prompt(problem=Problem(id=str(place), text="", answer=""), token_ids=tuple(range(1, 3 + place % 5)))
        scores = (Score(value=0.0, correct=False),) * COMPLETIONS
        groups[place] = ScoredGroup(group=Group(prompt=prompt, completions=completions), scores=scores)
    return groups


def selection(dropped: Sequence[int] = DROPPED) -> Selection:
    """All groups but the dropped ones are kept."""
    groups = all_groups()
    kept = len(groups) - len(dropped)
    return Selection(
        outcomes=[groups[place].outcome for place in sorted(groups)],
        dropped=["dropped" if place in dropped else None for place in sorted(groups)],
        advantages=torch.linspace(-1, 1, kept * COMPLETIONS, dtype=torch.float64).view(kept, COMPLETIONS),
        loss=LOSS,
        in_force={},
    )


def sequences_of_updates(of: Recipe, dropped: Sequence[int] = DROPPED) -> list[list[TrainingSequence]]:
    """The sequences of each update, as one process makes them out of all groups."""
    groups, selected = all_groups(), selection(dropped)
    rows_of = dict(zip(selected.kept, selected.advantages.tolist(), strict=True))
    updates = []
    for hand in deal(selected.kept, of.batching.updates_per_epoch):
        weight = token_weight(
            [len(completion.token_ids) for place in hand for completion in groups[place].group.completions],
            LOSS.aggregation,
            max_new_tokens=of.sampling.max_new_tokens,
            sequences=of.batching.completions_per_update,
        )
        updates.append(
            [
                replace(sequence, origin=(place, number))
                for place in hand
                for number, sequence in enumerate(sequences_of(groups[place].group, rows_of[place], weight))
            ]
        )
    return updates


def sequences_in(rows: Sequence[PackedRow]) -> list[Any]:
    """Each trained sequence of the rows with all that a row says of its tokens, in an order of their own."""
    found = []
    for row in rows:
        if not row.num_loss_tokens:
            continue
        places = zip(row.token_ids.split(list(row.lengths)), row.position_ids.split(list(row.lengths)), strict=True)
        for i, (token_ids, position_ids) in enumerate(places):
            here = row.sequence_of_target == i
            of_tokens = (row.target_ids, row.advantages, row.weights, row.sampler_logprobs)
            columns = [
                token_ids,
                position_ids,
                row.token_ids[row.target_index + 1][here],
                *(t[here] for t in of_tokens),
            ]
            found.append([column.tolist() for column in columns])
    return sorted(found)

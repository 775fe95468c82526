"""The rows of an update: those of one process, whichever rank has sampled a sequence and whichever trains it."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from rsgrpo.batching.packing import pack
from rsgrpo.training.rows import rows_of_updates
from tests.distributed import dealt
from tests.distributed.on_ranks import on_ranks

CPU = torch.device("cpu")


@pytest.mark.parametrize("row_tokens", [1, 60, 1000])
def test_a_process_alone_packs_what_it_has_sampled_to_the_bit(row_tokens: int) -> None:
    recipe = dealt.recipe_of(row_tokens)
    made = rows_of_updates(dealt.all_groups(), dealt.selection(), recipe, CPU)
    updates = dealt.sequences_of_updates(recipe)
    assert [len(update) for update in updates] == [12, 8, 8, 8]
    for rows, update in zip(made, updates, strict=True):
        for row, other in zip(rows, pack(update, row_tokens=row_tokens, device=CPU), strict=True):
            for field in fields(row):
                mine, theirs = getattr(row, field.name), getattr(other, field.name)
                same = torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs
                assert same, field.name


def test_log_probs_of_any_precision_are_held_in_float32() -> None:
    """As they are when they come from another rank."""
    groups = dealt.all_groups()
    for scored in groups.values():
        for completion in scored.group.completions:
            object.__setattr__(completion, "logprobs", completion.logprobs.double())
    recipe = dealt.recipe_of(60)
    assert [dealt.sequences_in(rows) for rows in rows_of_updates(groups, dealt.selection(), recipe, CPU)] == [
        dealt.sequences_in(rows) for rows in rows_of_updates(dealt.all_groups(), dealt.selection(), recipe, CPU)
    ]


def test_an_update_without_groups_has_no_rows() -> None:
    dropped = range(1, dealt.PLACES)
    rows = rows_of_updates(dealt.all_groups(), dealt.selection(dropped), dealt.recipe_of(60), CPU)
    assert [bool(of_update) for of_update in rows] == [True, False, False, False]


@pytest.mark.parametrize("ranks", [2, 3])
def test_sequences_get_whole_to_the_ranks_that_train_them(tmp_path: Path, ranks: int) -> None:
    on_ranks("sequences_are_dealt_by_length", tmp_path, ranks=ranks)

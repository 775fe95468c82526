"""The order of prompts is a function of the seed and the iteration."""

import itertools
from collections import Counter

import pytest

from rsgrpo.data.order import PromptOrder
from rsgrpo.errors import UserError
from rsgrpo.types import Problem, Prompt


def prompts(count: int) -> list[Prompt]:
    return [Prompt(problem=Problem(id=str(i), text="", answer=""), token_ids=(1,)) for i in range(count)]


def stream(count: int, size: int, *, seed: int = 0, start: int = 0, batches: int) -> list[list[str]]:
    """The prompt ids of the first `batches` batches."""
    order = PromptOrder(prompts(count), prompts_per_iteration=size, seed=seed, start=start)
    return [[prompt.id for prompt in batch] for batch in itertools.islice(order, batches)]


@pytest.mark.parametrize("size", [1, 3, 4, 12])
def test_every_prompt_comes_once_per_epoch(size):
    # 12 prompts, 5 epochs.
    flat = [name for batch in stream(12, size, batches=60 // size) for name in batch]
    for epoch in range(5):
        assert sorted(map(int, flat[12 * epoch : 12 * epoch + 12])) == list(range(12))


def test_epochs_are_laid_end_to_end_when_batches_straddle_them():
    # 7 prompts in batches of 3: 21 batches are 9 epochs.
    batches = stream(7, 3, batches=21)
    assert {len(batch) for batch in batches} == {3}
    assert Counter(itertools.chain(*batches)) == {str(i): 9 for i in range(7)}


def test_a_batch_within_an_epoch_holds_no_prompt_twice():
    assert all(len(set(batch)) == 4 for batch in stream(12, 4, batches=30))


def test_a_batch_may_be_larger_than_the_data():
    # Two batches of 5 out of 2 prompts are 5 epochs.
    batches = stream(2, 5, batches=2)
    assert [len(batch) for batch in batches] == [5, 5]
    assert Counter(itertools.chain(*batches)) == {"0": 5, "1": 5}


@pytest.mark.parametrize("start", [1, 2, 5, 13])
def test_a_later_start_continues_the_very_stream(start):
    assert stream(7, 3, start=start, batches=10) == stream(7, 3, batches=start + 10)[start:]


def test_a_batch_may_be_asked_for_in_any_order():
    order = PromptOrder(prompts(7), prompts_per_iteration=3, seed=0)
    backwards = [[p.id for p in order.batch(i)] for i in reversed(range(9))]
    assert backwards[::-1] == stream(7, 3, batches=9)


def test_iterating_twice_starts_over():
    order = PromptOrder(prompts(7), prompts_per_iteration=3, seed=0)
    assert list(itertools.islice(order, 4)) == list(itertools.islice(order, 4))


def test_seeds_and_epochs_differ_in_order():
    # Chance agreement of two orders of 30 has odds 1 to 30!.
    first, second = stream(30, 30, seed=0, batches=2)
    (other,) = stream(30, 30, seed=1, batches=1)
    assert first != second
    assert first != other
    assert first != [str(i) for i in range(30)]


@pytest.mark.parametrize(("size", "ranks"), [(4, 1), (4, 2), (4, 4), (12, 3), (6, 6)])
def test_the_ranks_are_dealt_the_batch_of_one_rank_prompt_by_prompt(size: int, ranks: int):
    # 7 prompts: batches straddle epochs and are larger than the data.
    whole = stream(7, size, batches=20)
    shares = [
        PromptOrder(prompts(7), prompts_per_iteration=size, seed=0, rank=rank, ranks=ranks) for rank in range(ranks)
    ]
    for iteration, batch in enumerate(whole):
        parts = [[prompt.id for prompt in share.batch(iteration)] for share in shares]
        assert {len(part) for part in parts} == {size // ranks}
        assert [name for turn in zip(*parts, strict=True) for name in turn] == batch


def test_a_rank_starts_late_where_it_would_have_been():
    settings = {"prompts_per_iteration": 6, "seed": 1, "rank": 1, "ranks": 3}
    early = itertools.islice(PromptOrder(prompts(10), **settings), 8)
    late = itertools.islice(PromptOrder(prompts(10), start=3, **settings), 5)
    assert list(early)[3:] == list(late)


@pytest.mark.parametrize(("size", "ranks", "right"), [(10, 4, 12), (3, 8, 8), (1, 2, 2)])
def test_unequal_shares_are_refused(size: int, ranks: int, right: int):
    with pytest.raises(UserError, match=rf"prompts_per_iteration={size} .* by {ranks} ranks; try .*={right}$"):
        PromptOrder(prompts(7), prompts_per_iteration=size, seed=0, ranks=ranks)

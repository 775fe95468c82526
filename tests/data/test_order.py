"""The order of prompts is a function of the seed and of how many were drawn."""

import itertools
from collections import Counter

import pytest

from rsgrpo.data.order import Uniform
from rsgrpo.types import Problem, Prompt


def prompts(count: int) -> list[Prompt]:
    return [Prompt(problem=Problem(id=str(i), text="", answer=""), token_ids=(1,)) for i in range(count)]


def stream(count: int, size: int, *, seed: int = 0, start: int = 0, batches: int) -> list[list[str]]:
    """The prompt ids of `batches` batches from the `start`-th on."""
    ids = [prompt.id for prompt in prompts(count)]
    drawn = range(start * size, (start + batches) * size, size)
    return [[ids[place] for place in Uniform().places(ids, drawn=d, count=size, seed=seed)] for d in drawn]


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


def test_what_comes_next_does_not_depend_on_how_it_was_cut_before():
    ids = [prompt.id for prompt in prompts(7)]
    order = Uniform()
    whole = order.places(ids, drawn=0, count=40, seed=3)
    cuts = [0, 3, 4, 11, 40]
    parts = [order.places(ids, drawn=a, count=b - a, seed=3) for a, b in itertools.pairwise(cuts)]
    assert list(itertools.chain(*parts)) == whole


def test_seeds_and_epochs_differ_in_order():
    # Chance agreement of two orders of 30 has odds 1 to 30!.
    first, second = stream(30, 30, seed=0, batches=2)
    (other,) = stream(30, 30, seed=1, batches=1)
    assert first != second
    assert first != other
    assert first != [str(i) for i in range(30)]

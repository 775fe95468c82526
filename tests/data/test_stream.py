"""The stream of prompts: what each rank is handed, and how it goes on."""

import itertools
from collections.abc import Sequence

import pytest

from rsgrpo.data.order import Order, Uniform
from rsgrpo.data.stream import PromptStream
from rsgrpo.errors import UserError
from rsgrpo.types import Problem, Prompt


def prompts(count: int) -> list[Prompt]:
    return [Prompt(problem=Problem(id=str(i), text="", answer=""), token_ids=(1,)) for i in range(count)]


def stream(count: int, size: int, order: Order | None = None, *, drawn: int = 0, rank: int = 0, ranks: int = 1):
    return PromptStream(
        prompts(count), order or Uniform(), prompts_per_iteration=size, seed=0, drawn=drawn, rank=rank, ranks=ranks
    )


def ids(taken: Sequence[Prompt]) -> list[str]:
    return [prompt.id for prompt in taken]


def test_it_yields_itself_and_counts_what_it_hands_out() -> None:
    whole = stream(7, 3)
    assert all(turn is whole for turn in itertools.islice(whole, 5))
    assert whole.drawn == 0
    whole.take(3)
    whole.take(1)
    assert whole.drawn == 4


def test_a_later_start_goes_on_where_an_earlier_one_is() -> None:
    early, late = stream(7, 3), stream(7, 3, drawn=5)
    early.take(5)
    assert ids(early.take(6)) == ids(late.take(6))


@pytest.mark.parametrize(("size", "ranks"), [(4, 1), (4, 2), (4, 4), (12, 3), (6, 6)])
def test_the_ranks_are_dealt_the_batch_of_one_rank_prompt_by_prompt(size: int, ranks: int) -> None:
    # 7 prompts: batches straddle epochs and are larger than the data.
    whole, shares = stream(7, size), [stream(7, size, rank=rank, ranks=ranks) for rank in range(ranks)]
    for _ in range(20):
        batch, parts = ids(whole.take(size)), [ids(share.take(size)) for share in shares]
        assert {len(part) for part in parts} == {size // ranks}
        assert [name for turn in zip(*parts, strict=True) for name in turn] == batch


def test_a_refill_that_the_ranks_cannot_share_equally_is_shared_all_the_same() -> None:
    whole, shares = stream(7, 4), [stream(7, 4, rank=rank, ranks=2) for rank in range(2)]
    first, second = (ids(share.take(3)) for share in shares)
    assert (len(first), len(second)) == (2, 1)
    assert [first[0], second[0], first[1]] == ids(whole.take(3))
    assert [share.drawn for share in shares] == [3, 3]


@pytest.mark.parametrize(("size", "ranks", "right"), [(10, 4, 12), (3, 8, 8), (1, 2, 2)])
def test_unequal_shares_of_an_iteration_are_refused(size: int, ranks: int, right: int) -> None:
    with pytest.raises(UserError, match=rf"prompts_per_iteration={size} .* by {ranks} ranks; try .*={right}$"):
        stream(7, size, ranks=ranks)


class Wrong(Order):
    def __init__(self, places: Sequence[int]) -> None:
        self.said = places

    def places(self, prompt_ids: Sequence[str], *, drawn: int, count: int, seed: int) -> Sequence[int]:
        return self.said


@pytest.mark.parametrize("places", [[0, 1], [0, 1, 7], [-1, 0, 1]])
def test_an_order_of_ones_own_that_names_other_places_is_refused(places: list[int]) -> None:
    with pytest.raises(UserError, match=r"order: Wrong\.places returned .* return 3 whole numbers from 0 to 6"):
        stream(7, 3, Wrong(places)).take(3)

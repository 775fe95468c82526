"""Rows of several ranks: nothing is lost or doubled, every row fits, and the i-th rows are of about one length."""

from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.batching.balance import rows_of_ranks
from rsgrpo.batching.packing import shortest_first

LENGTHS = st.lists(st.integers(1, 60), max_size=40)
RANKS = st.integers(2, 5)
ROW_TOKENS = st.integers(1, 100)


def tokens_of(row: list[int], lengths: list[int]) -> int:
    return sum(lengths[i] for i in row)


@given(lengths=LENGTHS, ranks=st.integers(1, 5), row_tokens=ROW_TOKENS)
def test_every_sequence_is_in_exactly_one_row(lengths: list[int], ranks: int, row_tokens: int) -> None:
    dealt = rows_of_ranks(lengths, ranks=ranks, row_tokens=row_tokens)
    assert len(dealt) == ranks
    assert sorted(i for rows in dealt for row in rows for i in row) == list(range(len(lengths)))


@given(lengths=LENGTHS, ranks=st.integers(1, 5), row_tokens=ROW_TOKENS)
def test_a_row_is_longer_than_row_tokens_only_when_it_holds_one_sequence(
    lengths: list[int], ranks: int, row_tokens: int
) -> None:
    for rows in rows_of_ranks(lengths, ranks=ranks, row_tokens=row_tokens):
        assert all(len(row) == 1 or tokens_of(row, lengths) <= row_tokens for row in rows)


@given(lengths=LENGTHS, ranks=RANKS, row_tokens=ROW_TOKENS)
def test_ranks_have_equally_many_rows_and_empty_ones_only_for_want_of_sequences(
    lengths: list[int], ranks: int, row_tokens: int
) -> None:
    dealt = rows_of_ranks(lengths, ranks=ranks, row_tokens=row_tokens)
    (number,) = {len(rows) for rows in dealt}
    empty = sum(not row for rows in dealt for row in rows)
    assert empty == max(0, ranks * number - len(lengths))
    assert empty < ranks, "with a row less on each rank every sequence would still have one to itself"


@given(lengths=LENGTHS, ranks=RANKS, row_tokens=ROW_TOKENS)
def test_a_row_is_longer_than_another_by_its_shortest_sequence_at_most(
    lengths: list[int], ranks: int, row_tokens: int
) -> None:
    rows = [row for rows in rows_of_ranks(lengths, ranks=ranks, row_tokens=row_tokens) for row in rows]
    least = min((tokens_of(row, lengths) for row in rows), default=0)
    assert all(tokens_of(row[1:], lengths) <= least for row in rows), "the first of a row is its shortest"
    assert all(row == sorted(row, key=lambda i: (lengths[i], i)) for row in rows)


@given(lengths=LENGTHS, ranks=RANKS, row_tokens=ROW_TOKENS)
def test_no_row_is_longer_than_one_that_comes_before_it(lengths: list[int], ranks: int, row_tokens: int) -> None:
    """So the longest of the i-th rows is as short as rows of these lengths allow."""
    dealt = rows_of_ranks(lengths, ranks=ranks, row_tokens=row_tokens)
    in_order = [tokens_of(rows[i], lengths) for i in range(len(dealt[0])) for rows in dealt]
    assert in_order == sorted(in_order, reverse=True)


@given(lengths=LENGTHS, row_tokens=ROW_TOKENS)
def test_a_rank_alone_has_the_rows_that_lie_shortest_first(lengths: list[int], row_tokens: int) -> None:
    assert rows_of_ranks(lengths, ranks=1, row_tokens=row_tokens) == [shortest_first(lengths, row_tokens)]

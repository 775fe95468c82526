"""Rows for several ranks, such that none of them waits long for another."""

import heapq
from bisect import bisect_left
from collections.abc import Sequence

from rsgrpo.batching.packing import shortest_first


def rows_of_ranks(lengths: Sequence[int], *, ranks: int, row_tokens: int) -> list[list[list[int]]]:
    """The rows of each rank, as many on each, in which every sequence of `lengths` tokens is once, by its number.

    The passes over a row are collectives: at its i-th row a rank waits for the longest i-th row of all ranks, so an
    update takes the sum of those. The longest sequence that is left goes to the row with the fewest tokens, which gives
    rows of about equal length with long and short sequences in each; then the rows are dealt by their length, longest
    first. There are as few rows as hold at most `row_tokens` tokens each that way; a longer sequence has one to itself.
    A row is empty only where there are fewer sequences than rows.

    One rank waits for nobody: its rows are those of `packing.shortest_first`.

    >>> rows_of_ranks([5, 2, 3, 4, 2], ranks=2, row_tokens=6)
    [[[0], [1, 4]], [[3], [2]]]
    >>> rows_of_ranks([5, 2, 3, 4, 2], ranks=1, row_tokens=6)
    [[[1, 4], [2], [3], [0]]]
    """
    if ranks == 1:
        return [shortest_first(lengths, row_tokens)]
    tokens = sum(min(length, row_tokens) for length in lengths)
    apart = sum(2 * length > row_tokens for length in lengths)  # no two of them fit into a row
    fewest, most = _divided(max(apart, _divided(tokens, row_tokens)), ranks), _divided(len(lengths), ranks)

    def fit(number: int) -> bool:
        return all(_tokens(row, lengths) <= row_tokens or len(row) == 1 for row in _spread(lengths, number * ranks))

    number = bisect_left(range(most), True, lo=fewest, hi=most, key=fit)
    rows = sorted(_spread(lengths, number * ranks), key=lambda row: -_tokens(row, lengths))
    return [rows[rank::ranks] for rank in range(ranks)]


def _spread(lengths: Sequence[int], rows: int) -> list[list[int]]:
    """The sequences in so many rows of about as many tokens, each row shortest first."""
    spread: list[list[int]] = [[] for _ in range(rows)]
    filled = [(0, row) for row in range(rows)]
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i), reverse=True):
        tokens, row = filled[0]
        spread[row].append(i)
        heapq.heapreplace(filled, (tokens + lengths[i], row))
    return [row[::-1] for row in spread]


def _tokens(row: Sequence[int], lengths: Sequence[int]) -> int:
    return sum(lengths[i] for i in row)


def _divided(number: int, by: int) -> int:
    """Rounded up."""
    return -(-number // by)

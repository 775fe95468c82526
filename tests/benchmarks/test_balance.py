"""An update takes hardly longer than it would if no rank ever waited for another."""

import pytest

from benchmarks.balance import Iteration, Waiting, as_sampled, by_length, operations_of, waiting
from tests.processes import ROOT, python

SMALL = Iteration(prompts=64)
"""Two updates as large as the paper's."""


@pytest.mark.parametrize("ranks", [2, 3, 8])
@pytest.mark.parametrize("seed", range(5))
def test_an_update_takes_at_most_1_08_times_the_balanced_time(ranks: int, seed: int) -> None:
    sampled, dealt = (waiting(SMALL, ranks, seed, dealing) for dealing in ("as sampled", "by length"))
    assert 1 <= dealt.tokens <= 1.08 < sampled.tokens
    assert 1 <= dealt.operations <= 1.08 < sampled.operations
    assert dealt.empty == 0
    assert dealt.rows < sampled.rows


def test_ranks_wait_for_the_longest_row_at_each_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Rank 0 has sampled 5, 6 and 4, a row each, and rank 1 a row of 1 and 2: 4 + 5 + 6 of 18 / 2.
    # Dealt, the rows 6, 5, 4 and 1 + 2 lie side by side two by two: 6 + 4.
    monkeypatch.setattr(Iteration, "lengths", lambda self, seed: {0: [5, 6, 4], 1: [1, 2]})
    small = Iteration(prompts=2, prompts_per_update=2, row_tokens=6)
    update = [(0, 5), (0, 6), (0, 4), (1, 1), (1, 2)]
    assert as_sampled(update, 2, 6) == [[[4], [5], [6]], [[1, 2]]]
    sampled = waiting(small, 2, 0, "as sampled")
    assert sampled == Waiting(tokens=15 / 9, operations=sampled.operations, rows=3, empty=2)
    assert by_length(update, 2, 6) == [[[6], [4]], [[5], [1, 2]]]
    dealt = waiting(small, 2, 0, "by length")
    assert dealt == Waiting(tokens=10 / 9, operations=dealt.operations, rows=2, empty=0)


def test_attention_costs_the_square_of_a_sequence_and_not_of_a_row() -> None:
    one, two = operations_of([4000]), operations_of([2000, 2000])
    assert one - two == 4 * 36 * 4096 * (4000**2 - 2 * 2000**2) / 2


def test_the_benchmark_prints_both_dealings() -> None:
    done = python("benchmarks/balance.py", "--seeds", "1", "--ranks", "2", variables={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert "as sampled" in done.stdout
    assert "by length" in done.stdout

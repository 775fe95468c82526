"""Statistics over ranks: exact, and the same however numbers are dealt."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from threading import Barrier, Thread
from typing import Any

import pytest
import torch
from torch import Tensor

from rsgrpo.shaping.over_ranks import OverRanks
from tests.shaping.tokens import ALONE


def dealt(parts: Sequence[Any], ask: Callable[[OverRanks, Any], Any]) -> list[Any]:
    """What each of several ranks hears that have these parts, each rank a thread."""
    sent: list[Any] = [None] * len(parts)
    heard: list[Any] = [None] * len(parts)
    everyone = Barrier(len(parts), timeout=30)

    def rank(index: int) -> None:
        def gather(mine: Any) -> list[Any]:
            sent[index] = mine
            everyone.wait()
            values = list(sent)
            everyone.wait()
            return values

        heard[index] = ask(OverRanks(gather=gather), parts[index])

    threads = [Thread(target=rank, args=(index,)) for index in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard


def split(values: Tensor, ends: Sequence[int]) -> list[Tensor]:
    return [values[start:end] for start, end in pairwise([0, *ends, len(values)])]


@pytest.mark.parametrize("seed", range(5))
def test_a_sum_is_rounded_once_whatever_rank_has_what(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = 10.0 ** torch.randint(-8, 8, (301,), generator=generator)
    values = torch.randn(301, generator=generator, dtype=torch.float64) * size
    exact = float(sum(map(Fraction, values.tolist())))
    assert ALONE.total(values) == exact
    for ends in ([150], [0], [1, 1, 300]):
        mixed = values[torch.randperm(301, generator=generator)]
        assert set(dealt(split(mixed, ends), OverRanks.total)) == {exact}
        assert set(dealt(split(mixed, ends), OverRanks.mean)) == {exact / 301}


def test_the_mean_of_nothing_is_zero() -> None:
    assert ALONE.mean(torch.zeros(0)) == 0
    assert ALONE.count(torch.zeros(0)) == 0


@pytest.mark.parametrize("number", [0, 1, 7, 100, 301, 400])
def test_the_largest_are_those_of_all_ranks_and_so_many(number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    values = torch.randint(0, 20, (301,), generator=generator).double()  # many are equal
    ties = torch.rand(301, generator=generator, dtype=torch.float64)
    order = sorted(range(301), key=lambda i: (values[i].item(), ties[i].item()), reverse=True)
    wanted = torch.zeros(301, dtype=torch.bool)
    wanted[order[:number]] = True
    both = torch.stack([values, ties], dim=1)

    def ask(over: OverRanks, mine: Tensor) -> Tensor:
        return over.largest(mine[:, 0], number, ties=mine[:, 1])

    for ends in ([], [150], [0], [1, 1, 300]):
        assert torch.equal(torch.cat(dealt(split(both, ends), ask)), wanted)


def test_only_those_asked_for_are_among_the_largest() -> None:
    values = torch.tensor([5.0, 4.0, 3.0, 2.0])
    few = torch.tensor([False, True, False, True])
    assert ALONE.largest(values, 1, ties=values, among=few).tolist() == [False, True, False, False]
    assert ALONE.largest(values, 9, ties=values, among=few).tolist() == few.tolist()
    assert ALONE.largest(values, 2, ties=values, among=few & ~few).tolist() == [False] * 4

"""Rows whose tokens tell which they are, as the policy may have seen them, and what shaping has said of each token."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from rsgrpo.types import Outcome, PackedRow


def seen(rows: Sequence[PackedRow]) -> list[PackedRow]:
    """The rows with log-probs and entropies that are made up of which token of which completion it is."""

    def number(row: PackedRow, factor: int, modulus: int) -> Tensor:
        return (row.target_ids * factor % modulus).float() / modulus

    return [
        replace(row, old_logprobs=-3 * number(row, 7919, 1009), old_entropy=number(row, 104729, 997)) for row in rows
    ]


def standings(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Groups that are all right, all wrong and mixed, in turn."""

    def scores(place: int, outcome: Outcome) -> Outcome:
        right = [(True, False, number % 2 == 0)[place % 3] for number in range(len(outcome.scores))]
        of_group = zip(outcome.scores, right, strict=True)
        return replace(outcome, scores=tuple(replace(s, value=float(r), correct=r) for s, r in of_group))

    return [scores(place, outcome) for place, outcome in enumerate(outcomes)]


def by_token(rows: Sequence[PackedRow]) -> dict[int, list[float]]:
    """All that shaping has said of each token, by its id, of which each token has its own."""
    found: dict[int, list[float]] = {}
    for row in rows:
        marks = [] if row.marks is None else [row.marks]
        columns = [row.advantages, *marks, *row.diagnostics.values()]
        for id_, *said in zip(*(column.tolist() for column in (row.target_ids, *columns)), strict=True):
            found[id_] = said
    return found

"""How long ranks wait for one another in the updates of an iteration, before and after sequences are dealt by length.

    python benchmarks/balance.py

A simulation with the code that deals: 512 prompts with 16 completions each, of which a filter keeps 60 % of the groups,
in updates of 32 prompts, rows of 16,384 tokens, 8 ranks. Lengths are log-normal, and those of one prompt are alike. All
ranks wait at each row for the rank whose row is longest, so an update takes the sum of the longest i-th rows; balanced
time is the tokens of the update over the number of ranks. "As sampled" is each rank training what it has sampled.

"With attention" a row costs its operations in Qwen3-4B: 2 per parameter and token, and those of attention, which grow
with the square of a sequence.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from rsgrpo.batching.balance import rows_of_ranks
from rsgrpo.batching.packing import shortest_first
from rsgrpo.batching.plan import deal

Cost = Callable[[Sequence[int]], float]
"""Of a row of sequences of these lengths."""

PARAMETERS, LAYERS, WIDTH = 4.0e9, 36, 32 * 128
"""Of Qwen3-4B; the width is that of the queries of all heads."""
LOG_PROMPT, SPREAD_OF_PROMPTS = math.log(120), 0.4
LONGEST_PROMPT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """The sizes of an iteration, as `rsgrpo.batching.plan.BatchPlan` has them, and what its lengths are like."""

    prompts: int = 512
    completions: int = 16
    prompts_per_update: int = 32
    row_tokens: int = 16_384
    kept: float = 0.6
    mean: float = 1500.0
    """Tokens of a completion, before the longest are cut."""
    spread: float = 0.8
    """Standard deviation of the log of its length, of which half the variance is between prompts."""
    longest: int = 8192

    def lengths(self, seed: int) -> dict[int, list[int]]:
        """Tokens of prompt and completion of each sequence of the groups that are kept, by place."""
        rng = np.random.default_rng(seed)
        of_prompts = np.exp(rng.normal(LOG_PROMPT, SPREAD_OF_PROMPTS, (self.prompts, 1))).clip(1, LONGEST_PROMPT)
        noise = rng.normal(size=(self.prompts, 1)) + rng.normal(size=(self.prompts, self.completions))
        logs = math.log(self.mean) - self.spread**2 / 2 + self.spread * noise / math.sqrt(2)
        tokens = of_prompts.round() + np.exp(logs).round().clip(1, self.longest)
        kept = rng.random(self.prompts) < self.kept
        return {int(place): tokens[place].astype(int).tolist() for place in kept.nonzero()[0]}


def tokens_of(row: Sequence[int]) -> float:
    """The tokens of a row."""
    return float(sum(row))


def operations_of(row: Sequence[int]) -> float:
    """Operations of a forward pass over a row, those of attention over each sequence among them."""
    attention = 4 * LAYERS * WIDTH  # scores and weighted sums, for each token and each one before it
    return sum(2 * PARAMETERS * length + attention * length**2 / 2 for length in row)


def as_sampled(update: Sequence[tuple[int, int]], ranks: int, row_tokens: int) -> list[list[list[int]]]:
    """The rows of each rank, in lengths, if every rank packs what it has sampled: the (place, length) of an update."""
    rows = []
    for rank in range(ranks):
        mine = [length for place, length in update if place % ranks == rank]
        rows.append([[mine[i] for i in row] for row in shortest_first(mine, row_tokens)])
    return rows


def by_length(update: Sequence[tuple[int, int]], ranks: int, row_tokens: int) -> list[list[list[int]]]:
    """The rows of each rank, in lengths, as they are dealt."""
    lengths = [length for _, length in update]
    dealt = rows_of_ranks(lengths, ranks=ranks, row_tokens=row_tokens)
    return [[[lengths[i] for i in row] for row in rows] for rows in dealt]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What an iteration takes over what it would take if ranks never waited, and the rows of a rank."""

    tokens: float
    """Where a row costs its tokens."""
    operations: float
    """Where attention costs too."""
    rows: int
    """That a rank computes, empty ones included."""
    empty: int
    """Rows of all ranks that only keep step."""


DEALINGS = {"as sampled": as_sampled, "by length": by_length}


def waiting(iteration: Iteration, ranks: int, seed: int, dealing: str) -> Waiting:
    """Of all updates of an iteration together."""
    lengths = iteration.lengths(seed)
    spent, least = {tokens_of: 0.0, operations_of: 0.0}, {tokens_of: 0.0, operations_of: 0.0}
    number = empty = 0
    for hand in deal(list(lengths), iteration.prompts // iteration.prompts_per_update):
        update = [(place, length) for place in hand for length in lengths[place]]
        of_ranks = DEALINGS[dealing](update, ranks, iteration.row_tokens)
        most = max(map(len, of_ranks))
        in_step = [rows + [[]] * (most - len(rows)) for rows in of_ranks]
        for cost in spent:
            spent[cost] += sum(max(map(cost, rows)) for rows in zip(*in_step, strict=True))
            least[cost] += cost([length for _, length in update]) / ranks
        number += most
        empty += sum(not row for rows in in_step for row in rows)
    ratios = {cost: spent[cost] / least[cost] for cost in spent}
    return Waiting(ratios[tokens_of], ratios[operations_of], number, empty)


def main() -> None:
    """The table of both dealings: rows are those of a rank in an iteration, empty ones those of all ranks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--seeds", type=int, default=20)
    for name, default in (("mean", 1500.0), ("spread", 0.8), ("kept", 0.6)):
        parser.add_argument(f"--{name}", type=float, default=default)
    words = parser.parse_args()
    iteration = Iteration(mean=words.mean, spread=words.spread, kept=words.kept)
    table = Table(title=f"time over balanced time, mean (range) of {words.seeds} seeds")
    for column in ("ranks", "dealt", "of tokens", "with attention", "rows", "empty"):
        table.add_column(column, justify="left" if column == "dealt" else "right")
    for ranks in words.ranks:
        for dealing in DEALINGS:
            found = [waiting(iteration, ranks, seed, dealing) for seed in range(words.seeds)]
            table.add_row(
                str(ranks),
                dealing,
                _range([w.tokens for w in found]),
                _range([w.operations for w in found]),
                f"{np.mean([w.rows for w in found]):.0f}",
                f"{np.mean([w.empty for w in found]):.1f}",
            )
    Console().print(table)


def _range(numbers: Sequence[float]) -> str:
    return f"{np.mean(numbers):.2f} ({min(numbers):.2f}-{max(numbers):.2f})"


if __name__ == "__main__":
    main()

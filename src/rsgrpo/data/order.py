"""In which order prompts are visited: a pure function of the seed and the iteration, cut into shares of the ranks."""

from collections.abc import Iterator, Sequence

import numpy as np

from rsgrpo.errors import UserError
from rsgrpo.seeds import derive_seed
from rsgrpo.types import Prompt


class PromptOrder:
    """An endless stream of batches: one permutation of the train set per epoch, laid end to end.

    The batch of an iteration depends on (seed, iteration) alone, so a resumed or extended run neither replays nor
    skips a prompt. A batch that straddles two epochs may hold a prompt twice; each of its groups has a seed of its own.

    Rank r of R gets every R-th prompt of a batch, from the r-th on: dealt this way, the ranks share each mini-batch
    of an iteration too.

    Raises:
        UserError: when the ranks cannot have equal shares.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        *,
        prompts_per_iteration: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        assert 0 <= rank < ranks, f"rank {rank} of {ranks}"
        if prompts_per_iteration % ranks:
            right = ranks * (prompts_per_iteration // ranks + 1)
            raise UserError(
                f"prompts_per_iteration={prompts_per_iteration} cannot be shared equally by {ranks} ranks; "
                f"try prompts_per_iteration={right}",
                prompts_per_iteration="batching",
            )
        self.prompts, self.size, self.seed, self.start = prompts, prompts_per_iteration, seed, start
        self.rank, self.ranks = rank, ranks

    def __iter__(self) -> Iterator[list[Prompt]]:
        iteration = self.start
        while True:
            yield self.batch(iteration)
            iteration += 1

    def batch(self, iteration: int) -> list[Prompt]:
        """This rank's prompts of `iteration`, counted from 0."""
        first = iteration * self.size
        return [self._at(first + place) for place in range(self.rank, self.size, self.ranks)]

    def _at(self, position: int) -> Prompt:
        epoch, place = divmod(position, len(self.prompts))
        return self.prompts[self._permutation(epoch)[place]]

    def _permutation(self, epoch: int) -> np.ndarray:
        if getattr(self, "_cached_epoch", None) != epoch:
            generator = np.random.default_rng(derive_seed(self.seed, "order", epoch))
            self._cached_epoch, self._cached = epoch, generator.permutation(len(self.prompts))
        return self._cached

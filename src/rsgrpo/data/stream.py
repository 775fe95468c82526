"""The endless stream of prompts of a run, cut into shares of the ranks."""

from collections.abc import Iterator, Sequence

from rsgrpo.data.order import Order
from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.types import Prompt


class PromptStream:
    """Hands out the prompts of an order, as many as are asked for.

    What it hands out depends on the order and on `drawn` alone, so a resumed or extended run neither replays nor skips
    a prompt. As an iterator it yields itself for ever: each iteration takes from it what it needs.

    Rank r of R gets every R-th of the prompts, from the r-th on: dealt this way, the ranks share each mini-batch of an
    iteration too.

    Raises:
        UserError: when the ranks cannot have equal shares of an iteration.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        order: Order,
        *,
        prompts_per_iteration: int,
        seed: int,
        drawn: int = 0,
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
        self.prompts, self.order, self.seed = prompts, order, seed
        self.drawn = drawn
        """Prompts handed out to all ranks so far, by the runs before this one too."""
        self.rank, self.ranks = rank, ranks
        self._ids = [prompt.id for prompt in prompts]

    def __iter__(self) -> Iterator["PromptStream"]:
        while True:
            yield self

    def take(self, count: int) -> list[Prompt]:
        """This rank's share of the next `count` prompts.

        Raises:
            UserError: for an order of the user's that raises or returns something else than `count` places.
        """
        with failures_name_their_place("order", self.order, "places", like=Order.places):
            places = self.order.places(self._ids, drawn=self.drawn, count=count, seed=self.seed)
        found = [int(place) for place in places]
        if len(found) != count or not all(0 <= place < len(self.prompts) for place in found):
            raise UserError(
                f"order: {type(self.order).__name__}.places returned {len(found)} places for {count} prompts of "
                f"{len(self.prompts)}; return {count} whole numbers from 0 to {len(self.prompts) - 1}"
            )
        self.drawn += count
        return [self.prompts[place] for place in found[self.rank :: self.ranks]]

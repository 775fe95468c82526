"""Updates whose loss or gradient is not a finite number: skipped, counted, and after several in a row the end."""

import math
from dataclasses import dataclass

from rsgrpo.distributed import ranks
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError
from rsgrpo.training.optimizer import Optimizer
from rsgrpo.training.update import UpdateTotals


@dataclass(slots=True)
class BadUpdates:
    """How many updates were skipped in a row, over the iterations. Every rank has the same."""

    in_a_row: int = 0

    def is_sound(self, totals: UpdateTotals, optimizer: Optimizer, *, iteration: int) -> bool:
        """Whether the losses of all ranks and the gradient are finite: the ranks step, or skip, together.

        Raises:
            UserError: at the `max_bad_updates`-th update in a row that is not. No weight has changed since the last
                sound one.
        """
        bad = [loss for loss in ranks.gather(totals.loss) if not math.isfinite(loss)]
        totals.skipped = "the loss" if bad else "the gradient" if not math.isfinite(totals.grad_norm) else None
        if totals.skipped is None:
            self.in_a_row = 0
            return True
        self.in_a_row += 1
        words = f"{totals.skipped} of an update of iteration {iteration} is {[*bad, totals.grad_norm][0]}"
        if self.in_a_row >= optimizer.max_bad_updates:
            in_a_row = "" if self.in_a_row == 1 else f", and so were the {self.in_a_row - 1} before it"
            raise UserError(
                f"{words}{in_a_row}; try smaller rewards, or a smaller learning rate than lr={optimizer.lr:g} "
                "(max_bad_updates is how many may be skipped)",
                lr="optimizer",
                max_bad_updates="optimizer",
            )
        say(f"{words}: the update is skipped")
        return False

"""A loss that is not a number in some of its calls, on the last rank alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rsgrpo.distributed import ranks
from rsgrpo.losses.base import Loss, LossOutput


@dataclass(frozen=True, kw_only=True)
class NaNLoss(Loss):
    """REINFORCE; `calls` are counted from 1, the first of which is the trial before the run."""

    calls: Sequence[int]
    seen: list[int] = field(default_factory=list, init=False)

    def __call__(self, tokens, old_logprobs, row):
        if row.num_loss_tokens:
            self.seen.append(1)
        bad = len(self.seen) in self.calls and ranks.index() == ranks.count() - 1
        return LossOutput(per_token=-row.advantages * tokens.logprobs * (float("nan") if bad else 1.0))

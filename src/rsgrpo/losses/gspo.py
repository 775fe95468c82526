"""GSPO: the ratio of a whole sequence, clipped as one."""

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.losses.clip import clipped_surrogate
from rsgrpo.losses.ratios import ratio_of, sequence_mean
from rsgrpo.types import PackedRow, TokenStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class GSPOLoss(Loss):
    """loss_t = -min(s A, clip(s, 1 - clip_low, 1 + clip_high) A), s = exp(mean_t log(pi(t) / pi_old(t))).

    All tokens of a completion share one ratio, the geometric mean of theirs: see "Group Sequence Policy Optimization"
    (Zheng et al., 2025), Eq. 5 and 7. Of a completion of one token it is PPO's ratio. The bounds are those of Section
    5.1: a mean over hundreds of tokens stays much nearer to 1 than the ratio of a token does.

    Raises:
        FieldError: for a bound outside its range or an unknown aggregation.
    """

    sequence_ratio: ClassVar[bool] = True

    clip_low: float = 3e-4
    clip_high: float = 4e-4
    aggregation: Aggregation = "sequence_mean"
    """Any other than `sequence_mean` is refused: see `training/combinations.py`."""

    def __post_init__(self) -> None:
        check_fields(self, clip_low=(0.0, 1.0), clip_high=(0.0, math.inf))

    def __call__(self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
        """The surrogate of its sequence on each token, and `clip_fraction`: where its gradient was cut off."""
        ratio = ratio_of(sequence_mean(tokens.logprobs - old_logprobs, row))[row.sequence_of_target]
        said = clipped_surrogate(ratio, row.advantages, clip_low=self.clip_low, clip_high=self.clip_high)
        return LossOutput(per_token=said.per_token, diagnostics={"clip_fraction": said.clipped})

"""REINFORCE: no ratio, no clip."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.types import PackedRow, TokenStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceLoss(Loss):
    """loss_t = -A_t log pi(t): the policy gradient itself ("Simple Statistical Gradient-Following Algorithms for
    Connectionist Reinforcement Learning", Williams, 1992).

    It takes every token as drawn from the policy that is updated, which is true of the first update of an iteration
    only: with several, the later ones have a gradient that is off by the ratio that `ClipLoss` and `CISPOLoss` have.

    Raises:
        FieldError: for an unknown aggregation.
    """

    aggregation: Aggregation = "token_mean"
    """`token_mean`, `sequence_mean`, `sequence_sum` or `constant_sum`, see `losses/aggregation.py`."""

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
        """The loss of each token; it has no diagnostics."""
        return LossOutput(per_token=-row.advantages * tokens.logprobs)

"""What every term is: one number per token, added to the loss or taken off the reward of its completion.

A term of your own can be in any module: `+term.mine._target_=my_module.MyTerm`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from rsgrpo.losses.base import LossOutput
from rsgrpo.types import PackedRow, StepReport, TokenStatistics

Place = Literal["loss", "reward"]


class Term(ABC):
    """Base of all terms. A subclass is final, and its constructor is its configuration."""

    place: Place = "loss"
    """`loss`: added to the loss of each token, under the weights of the loss's aggregation. `reward`: its sum over the
    tokens of a completion, under the policy that was sampled from, is taken off the reward before filter and objective
    see it; whether the completion is correct stays as it was."""
    needs_reference: ClassVar[bool] = False
    """Whether `row.reference_logprobs` has to hold the log-probs of the policy that training began with."""
    entropy_gradient: ClassVar[bool] = False
    """Whether `tokens.entropy` has to carry a gradient."""

    @abstractmethod
    def __call__(self, tokens: TokenStatistics, row: PackedRow) -> LossOutput:
        """The T numbers of a row's loss tokens, times the term's coefficient, and diagnostics.

        Args:
            tokens: log-probs with a gradient, and entropies, of the policy that is being updated; of the policy that
                was sampled from, without a gradient, for a term of the reward.
            row: which sequence each token belongs to, and the reference's log-probs where the term needs them.
        """

    def observe(self, report: StepReport) -> None:  # noqa: B027
        """Learn from an iteration, at its end; the same on every rank."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take up the state of a checkpoint."""

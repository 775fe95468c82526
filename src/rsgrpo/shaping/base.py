"""What every shaping is: the advantage of a completion -> the advantages of its tokens.

It sees what the policy that was sampled from says of the tokens of an update, before the update. A shaping of your own
can be in any module: `shaping=custom shaping._target_=my_module.MyShaping`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from rsgrpo.shaping.over_ranks import OverRanks
from rsgrpo.types import TokenStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTokens:
    """The T loss tokens of one update that this rank trains; the tokens of a completion follow each other, in order.

    Which tokens these are, and in which order, depends on the number of ranks and on `batching.row_tokens`, and what
    becomes of a token must not: look at the token, at its completion, or at all tokens of all ranks (`over_ranks`).
    """

    logprobs: Float[Tensor, " T"]
    """log pi_old(t) in nats, by the trainer, of the policy that was sampled from."""
    entropy: Float[Tensor, " T"]
    """Of that policy before the token, in nats, at the sampling temperature."""
    advantages: Float[Tensor, " T"]
    """That the objective gives the completion, on each of its tokens."""
    sequence: Int[Tensor, " T"]
    """Which of this rank's completions a token belongs to, counted from 0."""
    group: Int[Tensor, " T"]
    """Which group of the iteration a token belongs to. A rank may have a part of a group."""
    correct: Bool[Tensor, " T"]
    """Whether its completion is correct."""
    all_right: Bool[Tensor, " T"]
    """Whether all N completions of its group are correct, with equal rewards."""
    all_wrong: Bool[Tensor, " T"]
    """Whether none of them is, with equal rewards."""
    over_ranks: OverRanks
    """Statistics over the tokens of all ranks."""
    draw: Callable[[], Float[Tensor, " T"]]
    """What `uniform` comes from."""

    @property
    def uniform(self) -> Float[Tensor, " T"]:
        """A random number in [0, 1) for each token, in float64, the same at each reading.

        It depends on the run's seed, the iteration, the update, and the place of the token in its completion and
        group, so neither ranks nor rows nor a resume change it.
        """
        return self.draw()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """The advantage of each token, and diagnostics."""

    advantages: Float[Tensor, " T"]
    """Finite, without a gradient; 0 gives the token no gradient, and leaves the weights of all others as they were."""
    marks: Float[Tensor, " T"] | None = None
    """One number for each token that `Shaping.added_loss` is given in the update; None adds nothing to the loss."""
    diagnostics: Mapping[str, Float[Tensor, " T"] | Bool[Tensor, " T"]] = field(default_factory=dict)
    """One number per token each, without a gradient; its mean over the loss tokens is logged as `train/<name>`."""


class Shaping(ABC):
    """Base of all shapings. A subclass is final, and its constructor is its configuration."""

    off: ClassVar[bool] = False
    """Whether nothing is shaped, so that nothing need be known of the tokens before the update."""

    @abstractmethod
    def __call__(self, tokens: UpdateTokens) -> Shaped:
        """The advantages of the T tokens.

        Once per update of an epoch; further epochs have the same advantages. Every rank is asked, one without tokens
        (T = 0) too, and has to call `tokens.over_ranks` as often as the others.
        """

    def added_loss(
        self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], marks: Float[Tensor, " T"]
    ) -> Float[Tensor, " T"]:
        """What is added to the loss of each token of a row, under the weights of the loss's aggregation.

        Called in each update, where `Shaped.marks` is given.

        Args:
            tokens: log-probs with a gradient, and entropies, of the policy that is being updated.
            old_logprobs: of the policy that was sampled from.
            marks: those of the row's tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} has given marks, and has no method added_loss")

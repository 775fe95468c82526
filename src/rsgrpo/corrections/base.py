"""What every correction is: the log-probs of trainer and sampler -> a weight for the surrogate of each token.

An engine that computes in bfloat16, or with other kernels, draws tokens from a policy that differs a little from the
trainer's. The gradient of the trainer's policy then has to weigh each token by pi(t) / sampler(t); a correction bounds
that weight. It multiplies the surrogate alone, never a term. One of your own: `correction=custom`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from torch import Tensor

from rsgrpo.types import PackedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weight of each token of a row, and diagnostics."""

    per_token: Float[Tensor, " T"]
    """Not negative, without a gradient; 0 leaves the token out."""
    diagnostics: Mapping[str, Float[Tensor, " T"] | Bool[Tensor, " T"]] = field(default_factory=dict)
    """One number per token each, logged as their mean: `train/correction_cut` is the share that was bounded."""


class Correction(ABC):
    """Base of all corrections. A subclass is final, and its constructor is its configuration."""

    def for_engine(self, *, half_precision: bool) -> "Correction | None":
        """What corrects the samples of an engine that computes in half precision, or in the trainer's own: the
        correction itself, another one, or None where none is needed."""
        return self

    @abstractmethod
    def __call__(self, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> Weights:
        """The weights of a row.

        Args:
            old_logprobs: the trainer's, of the policy that was sampled from.
            row: `row.sampler_logprobs` has the engine's.
        """

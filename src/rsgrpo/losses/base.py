"""What every loss is: the policy's log-probs for the tokens of a row -> the loss of each token, and diagnostics.

How tokens are weighted against one another is its `aggregation`; the sum of weight times loss over all rows of an
update is what is minimised. A loss of your own can be in any module: `loss=custom loss._target_=my_module.MyLoss`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.types import PackedRow, TokenStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOutput:
    """The loss of each token of a row, and diagnostics."""

    per_token: Float[Tensor, " T"]
    """With a gradient."""
    diagnostics: Mapping[str, Float[Tensor, " T"] | Bool[Tensor, " T"]] = field(default_factory=dict)
    """One number per token each, without a gradient; its mean over the loss tokens is logged as `train/<name>`."""


class Loss(ABC):
    """Base of all losses. A subclass is final, and its constructor is its configuration."""

    aggregation: Aggregation = "token_mean"
    """How tokens are weighted, see `losses/aggregation.py`."""
    entropy_gradient: ClassVar[bool] = False
    """Whether `tokens.entropy` has to carry a gradient, for an entropy bonus. Without it the loss may look at the
    entropy, in diagnostics or detached, and is refused when a gradient would have to go through it."""

    sequence_ratio: ClassVar[bool] = False
    """Whether all tokens of a completion share one ratio: the loss then counts a completion as one, and so has to its
    aggregation."""

    @abstractmethod
    def __call__(self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
        """The loss of the T loss tokens of a row.

        Args:
            tokens: log-probs with a gradient, and entropies, of the policy that is being updated.
            old_logprobs: of the policy that was sampled from, computed by the trainer.
            row: the advantages of the tokens, the sampler's log-probs, and which sequence each belongs to.
        """


def with_noticed_entropy(loss: Loss, tokens: TokenStatistics) -> TokenStatistics:
    """The tokens for a loss that has asked for no gradient of the entropy, so that `check_entropy` can tell."""
    if loss.entropy_gradient:
        return tokens
    noticed = tokens.entropy.detach().requires_grad_() * 1.0  # which a loss may also change in place
    noticed.retain_grad()
    return tokens._replace(entropy=noticed)


def check_entropy(loss: Loss, tokens: TokenStatistics) -> None:
    """Refuse, after the backward pass, a loss that depends on an entropy whose gradient it has not asked for.

    Args:
        loss: the loss.
        tokens: what `with_noticed_entropy` made.

    Raises:
        UserError: naming the class and both cures.
    """
    if not loss.entropy_gradient and tokens.entropy.grad is not None:
        raise UserError(
            f"loss: the per_token of {type(loss).__name__} depends on tokens.entropy, which has no gradient; write "
            "entropy_gradient = True in the class, or tokens.entropy.detach() where none is meant"
        )


def checked_loss(loss: Loss, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
    """The output of the loss for a row, checked to be what a loss must return.

    Raises:
        UserError: naming the class and what is wrong with its result.
    """
    with failures_name_their_place("loss", loss, "__call__", like=Loss.__call__):
        output: object = loss(tokens, old_logprobs, row)
    checked = checked_output("loss", loss, output, row)
    if not checked.per_token.is_floating_point() or not checked.per_token.requires_grad:
        raise UserError(
            f"loss: {type(loss).__name__} returned a per_token without a gradient, so nothing would be trained; "
            "compute it from tokens.logprobs"
        )
    return checked


def checked_output(place: str, part: object, output: object, row: PackedRow) -> LossOutput:
    """What a loss or a term has returned for a row, when it is one number per token.

    Args:
        place: how messages call the part: `loss`, `term.kl`.
        part: what was called.
        output: what it returned.
        row: what it was called with.

    Raises:
        UserError: naming the class and what is wrong with its result.
    """
    name, shape = type(part).__name__, list(row.target_ids.shape)
    if not isinstance(output, LossOutput):
        raise UserError(
            f"{place}: {name} returned {type(output).__name__}; return rsgrpo.losses.base.LossOutput(per_token=...)"
        )
    if not isinstance(output.diagnostics, Mapping):
        raise UserError(
            f"{place}: {name} returned diagnostics of type {type(output.diagnostics).__name__}; return one tensor "
            "under each name: {'ratio': ...}"
        )
    check_one_per_token(place, name, {"per_token": output.per_token, **output.diagnostics}, shape)
    return output


def check_one_per_token(place: str, name: str, found: Mapping[str, object], shape: list[int]) -> None:
    """Refuse a tensor that does not hold one number for each loss token.

    Raises:
        UserError: naming the class and the tensor.
    """
    for what, values in found.items():
        if not isinstance(values, Tensor) or list(values.shape) != shape:
            got = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise UserError(
                f"{place}: {name} returned {what} of shape {got}; return one number per loss token, {shape}"
            )

"""What an update minimises: the surrogate, weighted by the correction, plus what shaping and terms add."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from rsgrpo.corrections.base import Correction, Weights
from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.losses.base import (
    Loss,
    LossOutput,
    check_entropy,
    check_one_per_token,
    checked_loss,
    checked_output,
    with_noticed_entropy,
)
from rsgrpo.shaping.base import Shaping
from rsgrpo.terms.base import Term
from rsgrpo.training.shaping import checked_added_loss
from rsgrpo.types import PackedRow, TokenStatistics


@dataclass(slots=True)
class TotalLoss:
    """weight_t surrogate_t + what shaping adds + sum of the terms, per token, and the diagnostics of all of them."""

    surrogate: Loss
    terms: Mapping[str, Term] = field(default_factory=dict)
    """Those of the loss, by name."""
    correction: Correction | None = None
    shaping: Shaping | None = None
    _noticed: TokenStatistics | None = field(default=None, init=False)

    @property
    def entropy_gradient(self) -> bool:
        """Whether any part wants a gradient of the entropy."""
        return self.surrogate.entropy_gradient or any(term.entropy_gradient for term in self.terms.values())

    def __call__(self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
        """The loss of each token of a row.

        Raises:
            UserError: naming a part that raised, or returned what it must not.
        """
        self._noticed = with_noticed_entropy(self.surrogate, tokens)
        output = checked_loss(self.surrogate, self._noticed, old_logprobs, row)
        per_token, diagnostics = output.per_token, dict(output.diagnostics)
        if self.correction is not None:
            weights = checked_weights(self.correction, old_logprobs, row)
            per_token = per_token * weights.per_token
            _add("correction", diagnostics, weights.diagnostics)
        if self.shaping is not None and row.marks is not None:
            per_token = per_token + checked_added_loss(self.shaping, tokens, old_logprobs, row.marks)
        _add("shaping", diagnostics, row.diagnostics)
        for name, term in self.terms.items():
            added = checked_term(name, term, tokens, row)
            if not added.per_token.requires_grad:
                raise UserError(
                    f"term.{name}: {type(term).__name__} returned a per_token without a gradient, so it would change "
                    "nothing in the loss; compute it from tokens.logprobs, write entropy_gradient = True in the class "
                    "where it uses tokens.entropy, or place = 'reward' to take it off the reward"
                )
            per_token = per_token + added.per_token
            _add(f"term.{name}", diagnostics, added.diagnostics)
        return LossOutput(per_token=per_token, diagnostics=diagnostics)

    def check_backward(self) -> None:
        """Refuse, after a backward pass, a surrogate that depends on an entropy whose gradient it has not asked for.

        Raises:
            UserError: naming the class and both cures.
        """
        assert self._noticed is not None
        check_entropy(self.surrogate, self._noticed)


def checked_term(name: str, term: Term, tokens: TokenStatistics, row: PackedRow) -> LossOutput:
    """What a term says of a row, checked to be one number per token.

    Raises:
        UserError: naming the class and what is wrong with its result.
    """
    with failures_name_their_place(f"term.{name}", term, "__call__", like=Term.__call__):
        said: object = term(tokens, row)
    return checked_output(f"term.{name}", term, said, row)


def checked_weights(correction: Correction, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> Weights:
    """The weights of a row, checked to be one per token and without a gradient.

    Raises:
        UserError: naming the class and what is wrong with its result.
    """
    with failures_name_their_place("correction", correction, "__call__", like=Correction.__call__):
        weights: object = correction(old_logprobs, row)
    name = type(correction).__name__
    if not isinstance(weights, Weights):
        raise UserError(
            f"correction: {name} returned {type(weights).__name__}; return rsgrpo.corrections.base.Weights(...)"
        )
    found = {"per_token": weights.per_token, **weights.diagnostics}
    check_one_per_token("correction", name, found, list(row.target_ids.shape))
    return weights


def _add(place: str, diagnostics: dict[str, Any], more: Mapping[str, Any]) -> None:
    taken = next((name for name in more if name in diagnostics), None)
    if taken is not None:
        raise UserError(f"{place} returned the diagnostic {taken!r}, which another part of the loss has; rename it")
    diagnostics |= more

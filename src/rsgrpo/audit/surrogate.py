"""The gradient of each completion under the loss that trains: packed rows of a policy that has moved since it was
sampled, through the real loss and the real terms, by automatic differentiation.

An answer is decided by its first token: that has the log-probs and the entropy of the policy over the answers, and the
tokens after it follow with certainty.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.audit.enumeration import ALONE, SAME
from rsgrpo.batching.packing import TrainingSequence, row_of
from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.losses.base import Loss
from rsgrpo.losses.ratios import sequence_sum
from rsgrpo.terms.base import Term
from rsgrpo.training.total_loss import TotalLoss, checked_term
from rsgrpo.types import PackedRow, TokenStatistics

ROW = 4096
"""Sequences of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The probabilities that three policies give the M answers to a prompt."""

    sampled: Float[Tensor, " M"]
    updated: Float[Tensor, " M"]
    """The one whose gradient is taken."""
    reference: Float[Tensor, " M"]


def completion_gradients(
    loss: Loss,
    terms: Mapping[str, Term],
    answers: Int[Tensor, " S"],
    advantages: Float[Tensor, " S"],
    lengths: Sequence[int],
    policies: Policies,
) -> Float[Tensor, "S M"]:
    """Minus the gradient of the summed loss of each completion's tokens, by the logits of the updated policy.

    Args:
        loss: the surrogate.
        terms: those of the loss, by name.
        answers: which answer each of S completions is.
        advantages: of each completion.
        lengths: tokens of each of the M answers.
        policies: over the answers.

    Raises:
        UserError: naming a part that returned what it must not, or whose loss of a completion depends on the others
            of its row.
    """
    total = TotalLoss(loss, terms)

    def gradients(answers: Int[Tensor, " B"], advantages: Float[Tensor, " B"]) -> Float[Tensor, "B M"]:
        row = _row(answers, advantages, lengths, policies)
        logits, tokens = _seen(answers, row, policies.updated, entropy_gradient=total.entropy_gradient)
        output = total(tokens, row.sampler_logprobs, row)
        with failures_name_their_place("loss", loss, "__call__"):
            output.per_token.sum().backward()
        total.check_backward()
        assert logits.grad is not None
        return -logits.grad

    whole = torch.cat([gradients(a, b) for a, b in zip(answers.split(ROW), advantages.split(ROW), strict=True)])
    some = torch.linspace(0, len(answers) - 1, min(len(answers), ALONE)).round().long()
    alone = torch.cat([gradients(answers[i, None], advantages[i, None]) for i in some])
    if (alone - whole[some]).abs().max() > SAME * whole.abs().max():
        raise UserError(
            f"loss: {type(loss).__name__}, or a term, gives a completion another gradient without the others of its "
            "row; the audit takes completions one by one: compute each token's loss from its own completion"
        )
    return whole


def taken_off_rewards(terms: Mapping[str, Term], lengths: Sequence[int], policies: Policies) -> Float[Tensor, "M F"]:
    """What each of F terms of the reward takes off each of M answers, under the policy that was sampled from.

    Raises:
        UserError: naming a term that returned what it must not.
    """
    answers = torch.arange(len(lengths))
    row = _row(answers, torch.zeros(len(lengths), dtype=torch.float64), lengths, policies)
    with torch.no_grad():
        _, tokens = _seen(answers, row, policies.sampled, entropy_gradient=False)
        found = [sequence_sum(checked_term(name, term, tokens, row).per_token, row) for name, term in terms.items()]
    return torch.stack(found, dim=1)


def _row(
    answers: Int[Tensor, " B"], advantages: Float[Tensor, " B"], lengths: Sequence[int], policies: Policies
) -> PackedRow:
    """Completions that were drawn from the sampled policy; all in float64, which training does not use."""
    sequences = [
        TrainingSequence(
            prompt_ids=(0,),
            completion_ids=(1 + answer, *([0] * (lengths[answer] - 1))),
            advantage=0.0,
            weight=1.0,
            sampler_logprobs=torch.zeros(lengths[answer], dtype=torch.float64),
        )
        for answer in answers.tolist()
    ]
    row = row_of(sequences, torch.device("cpu"))
    at_first_token = _at_first_token(row)
    return replace(
        row,
        advantages=advantages[row.sequence_of_target],
        weights=row.weights.double(),
        sampler_logprobs=at_first_token(policies.sampled.log()[answers]),
        reference_logprobs=at_first_token(policies.reference.log()[answers]),
    )


def _seen(
    answers: Int[Tensor, " B"], row: PackedRow, policy: Float[Tensor, " M"], *, entropy_gradient: bool
) -> tuple[Float[Tensor, "B M"], TokenStatistics]:
    """What a policy says of a row, and its logits: once for each completion, so that each gets its own gradient."""
    logits = policy.log().expand(len(answers), -1).clone().requires_grad_()
    logprobs = logits.log_softmax(dim=1)
    entropy = -(logprobs.exp() * logprobs).sum(dim=1)
    at_first_token = _at_first_token(row)
    tokens = TokenStatistics(
        logprobs=at_first_token(logprobs.gather(1, answers[:, None])[:, 0]),
        entropy=at_first_token(entropy if entropy_gradient else entropy.detach()),
    )
    return logits, tokens


def _at_first_token(row: PackedRow) -> Callable[[Float[Tensor, " B"]], Float[Tensor, " T"]]:
    """Spreads a number of each sequence over its tokens: on the first one, and 0 on the others."""
    first = row.sequence_of_target.diff(prepend=torch.tensor([-1])).nonzero()[:, 0]

    def spread(values: Tensor) -> Tensor:
        return torch.zeros(row.num_loss_tokens, dtype=values.dtype).index_put((first,), values)

    return spread

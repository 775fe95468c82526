"""Running totals of an iteration's forward passes: entropy, gap to the sampler, and what each update saw.

Each rank counts what its own rows add up to; `merge` makes one report out of the totals of all ranks.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rsgrpo.distributed.sharding import full_tensor
from rsgrpo.losses.base import LossOutput
from rsgrpo.types import PackedRow, SamplerGap, TokenStatistics, UpdateReport

OCTAVES, PER_OCTAVE, SMALLEST = 48, 16, 2.0**-40
"""The histogram of gaps: from 2^-40 to 2^8 nats, in steps of 4.4 %."""

NEAR = 0.1
"""Ratios of trainer to sampler within 1 - NEAR and 1 + NEAR count as near."""


@dataclass(slots=True)
class BehaviourTotals:
    """What the behaviour policy, the one that was sampled from, says of the trained tokens, added up."""

    entropy_sum: float = 0.0
    num_tokens: int = 0
    largest_gap: float = 0.0
    gap_sum: float = 0.0
    kl_sum: float = 0.0
    outside: int = 0
    """Tokens whose ratio of trainer to sampler is not near 1."""
    histogram: Int[Tensor, " H"] = field(
        default_factory=lambda: torch.zeros(OCTAVES * PER_OCTAVE, dtype=torch.long), repr=False
    )
    """How many tokens have a gap of each size."""

    def add(self, row: PackedRow, tokens: TokenStatistics) -> None:
        """Add the tokens of a row to the entropy and to the gap to the sampler."""
        if not row.num_loss_tokens:
            return
        log_ratio = (tokens.logprobs.detach().float() - row.sampler_logprobs).double()
        gap, ratio = log_ratio.abs(), log_ratio.exp()
        self.entropy_sum += tokens.entropy.detach().sum().item()
        self.num_tokens += row.num_loss_tokens
        self.largest_gap = max(self.largest_gap, gap.max().item())
        self.gap_sum += gap.sum().item()
        self.kl_sum += (log_ratio.expm1() - log_ratio).sum().item()
        self.outside += int(((ratio - 1).abs() > NEAR).sum())
        place = (
            ((gap / SMALLEST).clamp(min=1).log2() * PER_OCTAVE)
            .nan_to_num(posinf=math.inf)
            .clamp(max=len(self.histogram) - 1)
        )
        self.histogram += place.long().bincount(minlength=len(self.histogram)).cpu()

    @classmethod
    def merge(cls, totals: Sequence["BehaviourTotals"]) -> "BehaviourTotals":
        """The totals of all ranks together."""
        return cls(
            entropy_sum=sum(t.entropy_sum for t in totals),
            num_tokens=sum(t.num_tokens for t in totals),
            largest_gap=max(t.largest_gap for t in totals),
            gap_sum=sum(t.gap_sum for t in totals),
            kl_sum=sum(t.kl_sum for t in totals),
            outside=sum(t.outside for t in totals),
            histogram=torch.stack([t.histogram for t in totals]).sum(dim=0),
        )

    @property
    def entropy(self) -> float | None:
        """Mean per trained token, in nats; None when nothing was trained."""
        return self.entropy_sum / self.num_tokens if self.num_tokens else None

    @property
    def logprob_gap(self) -> float | None:
        """Largest |trainer - sampler| log-prob; None when nothing was trained."""
        return self.largest_gap if self.num_tokens else None

    @property
    def sampler_gap(self) -> SamplerGap | None:
        """How the trainer's log-probs differ from the sampler's; None when nothing was trained."""
        if not self.num_tokens:
            return None
        rank = math.ceil(0.99 * self.num_tokens)
        step = int((self.histogram.cumsum(0) >= rank).nonzero()[0])
        return SamplerGap(
            mean=self.gap_sum / self.num_tokens,
            p99=min(self.largest_gap, SMALLEST * 2 ** ((step + 1) / PER_OCTAVE)),
            largest=self.largest_gap,
            kl=self.kl_sum / self.num_tokens,
            outside=self.outside / self.num_tokens,
        )


@dataclass(slots=True)
class UpdateTotals:
    """What the rows of one update add up to on one rank. The gradient norm and the learning rate are of all ranks."""

    loss: float = 0.0
    diagnostics: dict[str, float] = field(default_factory=dict)
    """What the loss says of its tokens, summed over them."""
    num_sequences: int = 0
    num_rows: int = 0
    loss_tokens: int = 0
    row_tokens: int = 0
    grad_norm: float = 0.0
    learning_rate: float = 0.0
    skipped: str | None = None
    """What was not finite, where the optimiser did not step."""

    def add(self, row: PackedRow, loss: Float[Tensor, ""], output: LossOutput) -> None:
        """Add one row after its backward pass; a row that only keeps step with other ranks does not count."""
        if not row.num_loss_tokens:
            return
        self.loss += loss.item()
        for name, values in output.diagnostics.items():
            self.diagnostics[name] = self.diagnostics.get(name, 0.0) + values.detach().double().sum().item()
        self.num_sequences += len(row.lengths)
        self.num_rows += 1
        self.loss_tokens += row.num_loss_tokens
        self.row_tokens += sum(row.lengths)


def merge(totals: Sequence[UpdateTotals]) -> UpdateReport:
    """The frozen record of one update, from the totals of all ranks."""
    loss_tokens = sum(t.loss_tokens for t in totals)
    names = sorted({name for t in totals for name in t.diagnostics})
    return UpdateReport(
        loss=sum(t.loss for t in totals),
        grad_norm=totals[0].grad_norm,
        learning_rate=totals[0].learning_rate,
        skipped=totals[0].skipped,
        num_sequences=sum(t.num_sequences for t in totals),
        num_rows=sum(t.num_rows for t in totals),
        loss_tokens=loss_tokens,
        row_tokens=sum(t.row_tokens for t in totals),
        diagnostics={name: sum(t.diagnostics.get(name, 0.0) for t in totals) / loss_tokens for name in names},
    )


def clipped_norm(parameters: Iterable[nn.Parameter], largest: float) -> float:
    """The global l2 norm of the gradient, which is then clipped to `largest`; a collective where it is sharded."""
    return float(full_tensor(nn.utils.clip_grad_norm_(parameters, largest)))

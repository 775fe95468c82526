"""Running totals of an iteration's forward passes: entropy, gap to the sampler, and what each update saw.

Each rank counts what its own rows add up to; `merge` makes one report out of the totals of all ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from rsgrpo.losses.base import LossOutput
from rsgrpo.types import PackedRow, TokenStatistics, UpdateReport


@dataclass(slots=True)
class BehaviourTotals:
    """What the behaviour policy, the one that was sampled from, says of the trained tokens, added up."""

    entropy_sum: float = 0.0
    num_tokens: int = 0
    largest_gap: float = 0.0

    def add(self, row: PackedRow, tokens: TokenStatistics) -> None:
        """Add the tokens of a row to the entropy and to the gap to the sampler."""
        if not row.num_loss_tokens:
            return
        gap = (tokens.logprobs.detach() - row.sampler_logprobs).abs().max().item()
        self.entropy_sum += tokens.entropy.detach().sum().item()
        self.num_tokens += row.num_loss_tokens
        self.largest_gap = max(self.largest_gap, gap)

    @classmethod
    def merge(cls, totals: Sequence["BehaviourTotals"]) -> "BehaviourTotals":
        """The totals of all ranks together."""
        return cls(
            entropy_sum=sum(t.entropy_sum for t in totals),
            num_tokens=sum(t.num_tokens for t in totals),
            largest_gap=max(t.largest_gap for t in totals),
        )

    @property
    def entropy(self) -> float | None:
        """Mean per trained token, in nats; None when nothing was trained."""
        return self.entropy_sum / self.num_tokens if self.num_tokens else None

    @property
    def logprob_gap(self) -> float | None:
        """Largest |trainer - sampler| log-prob; None when nothing was trained."""
        return self.largest_gap if self.num_tokens else None


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
        num_sequences=sum(t.num_sequences for t in totals),
        num_rows=sum(t.num_rows for t in totals),
        loss_tokens=loss_tokens,
        row_tokens=sum(t.row_tokens for t in totals),
        diagnostics={name: sum(t.diagnostics.get(name, 0.0) for t in totals) / loss_tokens for name in names},
    )

"""Running totals of an iteration's forward passes: behaviour log-probs, entropy, and what each update saw.

Each rank counts what its own rows add up to; `merge` makes one report out of the totals of all ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from torch import Tensor

from rsgrpo.models.policy import TokenStatistics
from rsgrpo.types import PackedRow, UpdateReport


@dataclass(slots=True)
class BehaviourTotals:
    """What the behaviour policy, the one that was sampled from, says of the trained tokens, added up."""

    entropy_sum: float = 0.0
    num_tokens: int = 0
    largest_gap: float = 0.0

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
class Behaviour:
    """The behaviour policy's log-probs of this rank's rows, and their totals."""

    logprobs: dict[int, Float[Tensor, " T"]] = field(default_factory=dict)
    """By identity of the row."""
    totals: BehaviourTotals = field(default_factory=BehaviourTotals)

    def record(self, row: PackedRow, tokens: TokenStatistics) -> None:
        """Keep the row's log-probs, and add its tokens to the entropy and to the gap to the sampler."""
        logprobs = tokens.logprobs.detach()
        self.logprobs[id(row)] = logprobs
        if not row.num_loss_tokens:
            return
        self.totals.entropy_sum += tokens.entropy.sum().item()
        self.totals.num_tokens += row.num_loss_tokens
        self.totals.largest_gap = max(self.totals.largest_gap, (logprobs - row.sampler_logprobs).abs().max().item())

    def logprobs_of(self, row: PackedRow, tokens: TokenStatistics) -> Float[Tensor, " T"]:
        """The row's behaviour log-probs; those of `tokens` when the row is seen for the first time."""
        if id(row) not in self.logprobs:
            self.record(row, tokens)
        return self.logprobs[id(row)]


@dataclass(slots=True)
class UpdateTotals:
    """What the rows of one update add up to on one rank. The gradient norm and the learning rate are of all ranks."""

    loss: float = 0.0
    clipped_tokens: int = 0
    num_sequences: int = 0
    num_rows: int = 0
    loss_tokens: int = 0
    row_tokens: int = 0
    grad_norm: float = 0.0
    learning_rate: float = 0.0

    def add(self, row: PackedRow, loss: Float[Tensor, ""], clipped: Bool[Tensor, " T"]) -> None:
        """Add one row after its backward pass; a row that only keeps step with other ranks does not count."""
        if not row.num_loss_tokens:
            return
        self.loss += loss.item()
        self.clipped_tokens += int(clipped.sum())
        self.num_sequences += len(row.lengths)
        self.num_rows += 1
        self.loss_tokens += row.num_loss_tokens
        self.row_tokens += sum(row.lengths)


def merge(totals: Sequence[UpdateTotals]) -> UpdateReport:
    """The frozen record of one update, from the totals of all ranks."""
    loss_tokens = sum(t.loss_tokens for t in totals)
    return UpdateReport(
        loss=sum(t.loss for t in totals),
        grad_norm=totals[0].grad_norm,
        learning_rate=totals[0].learning_rate,
        num_sequences=sum(t.num_sequences for t in totals),
        num_rows=sum(t.num_rows for t in totals),
        loss_tokens=loss_tokens,
        row_tokens=sum(t.row_tokens for t in totals),
        clip_fraction=sum(t.clipped_tokens for t in totals) / loss_tokens,
    )

"""Running totals of an iteration's forward passes: behaviour log-probs, entropy, and what each update saw."""

from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from torch import Tensor

from rsgrpo.models.policy import TokenStatistics
from rsgrpo.types import PackedRow, UpdateReport


@dataclass(slots=True)
class BehaviourStatistics:
    """What the behaviour policy, the one that was sampled from, says of the trained tokens."""

    logprobs: dict[int, Float[Tensor, " T"]] = field(default_factory=dict)
    """By identity of the row."""
    entropy_sum: float = 0.0
    num_tokens: int = 0
    largest_gap: float = 0.0

    def record(self, row: PackedRow, tokens: TokenStatistics) -> None:
        """Keep the row's log-probs, and add its tokens to the entropy and to the gap to the sampler."""
        logprobs = tokens.logprobs.detach()
        self.logprobs[id(row)] = logprobs
        self.entropy_sum += tokens.entropy.sum().item()
        self.num_tokens += row.num_loss_tokens
        self.largest_gap = max(self.largest_gap, (logprobs - row.sampler_logprobs).abs().max().item())

    def logprobs_of(self, row: PackedRow, tokens: TokenStatistics) -> Float[Tensor, " T"]:
        """The row's behaviour log-probs; those of `tokens` when the row is seen for the first time."""
        if id(row) not in self.logprobs:
            self.record(row, tokens)
        return self.logprobs[id(row)]

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
    """What the rows of one update add up to."""

    rows: list[PackedRow] = field(default_factory=list)
    loss: float = 0.0
    clipped_tokens: int = 0

    def add(self, row: PackedRow, loss: Float[Tensor, ""], clipped: Bool[Tensor, " T"]) -> None:
        """Add one row after its backward pass."""
        self.rows.append(row)
        self.loss += loss.item()
        self.clipped_tokens += int(clipped.sum())

    def report(self, *, grad_norm: float, learning_rate: float) -> UpdateReport:
        """The frozen record of the update."""
        loss_tokens = sum(row.num_loss_tokens for row in self.rows)
        return UpdateReport(
            loss=self.loss,
            grad_norm=grad_norm,
            learning_rate=learning_rate,
            num_sequences=sum(len(row.lengths) for row in self.rows),
            num_rows=len(self.rows),
            loss_tokens=loss_tokens,
            row_tokens=sum(sum(row.lengths) for row in self.rows),
            clip_fraction=self.clipped_tokens / loss_tokens,
        )

"""What of an iteration is trained on, and with which advantages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.batching.plan import BatchPlan
from rsgrpo.losses.base import Loss
from rsgrpo.objectives.base import AdvantageContext, PromptHistory
from rsgrpo.types import Outcome, ScoredGroup


@dataclass(slots=True)
class Collected:
    """What was sampled for an iteration: one draw of prompts, or several."""

    groups: dict[int, ScoredGroup] = field(default_factory=dict)
    """Of this rank, by their place among `outcomes`."""
    outcomes: list[Outcome] = field(default_factory=list)
    """Of all groups of all ranks, in prompt order."""
    dropped: list[str | None] = field(default_factory=list)
    """Why each group was dropped, or None where it was kept; aligned with `outcomes`."""
    refills: int = 0
    """Draws after the first."""

    def add(self, groups: Mapping[int, ScoredGroup], outcomes: Sequence[Outcome]) -> None:
        """The groups of one more draw, whose places go on from those before."""
        self.groups |= groups
        self.outcomes += outcomes

    @property
    def kept(self) -> list[Outcome]:
        """The outcomes of the kept groups, in order."""
        return [outcome for outcome, reason in zip(self.outcomes, self.dropped, strict=True) if reason is None]

    def missing(self, plan: BatchPlan) -> int:
        """How many groups a full batch still lacks."""
        return max(0, plan.prompts_per_iteration - self.dropped.count(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The groups of an iteration, which of them are kept, and what an objective makes of those."""

    outcomes: Sequence[Outcome]
    """Of all groups of all ranks, in prompt order."""
    dropped: Sequence[str | None]
    """Why each group was dropped, or None where it was kept; aligned with `outcomes`."""
    advantages: Float[Tensor, "P_kept N"]
    loss: Loss
    """The loss in force: a schedule may drive one of its numbers."""
    in_force: Mapping[str, float]
    """What the schedule set."""

    @property
    def kept(self) -> list[int]:
        """The places of the kept groups among `outcomes`, in order: the rows of `advantages`."""
        return [place for place, reason in enumerate(self.dropped) if reason is None]


def advantage_context(
    outcomes: Sequence[Outcome], *, iteration: int, completions: int, history: Sequence[PromptHistory] | None
) -> tuple[Float[Tensor, "P N"], AdvantageContext]:
    """The rewards of P groups and all else that an objective may know of them.

    In float64: the numbers are few, and rewards that are large and close together keep what tells them apart.
    """

    def table(rows: Sequence[Sequence[float]], dtype: torch.dtype) -> Tensor:
        return torch.tensor(rows, dtype=dtype).view(-1, completions)

    answers = [outcome.answers for outcome in outcomes if outcome.answers is not None]
    entropies = [outcome.mean_entropies for outcome in outcomes if outcome.mean_entropies is not None]
    everyone = len(outcomes)
    context = AdvantageContext(
        iteration=iteration,
        prompt_ids=[outcome.prompt_id for outcome in outcomes],
        sampler_logprobs=table([outcome.mean_logprobs for outcome in outcomes], torch.float64),
        lengths=table([outcome.lengths for outcome in outcomes], torch.long),
        finished=table([outcome.finished for outcome in outcomes], torch.bool),
        correct=table([[score.correct for score in outcome.scores] for outcome in outcomes], torch.bool),
        answers=answers if everyone and len(answers) == everyone else None,
        entropies=table(entropies, torch.float64) if everyone and len(entropies) == everyone else None,
        history=history,
    )
    return table([outcome.rewards for outcome in outcomes], torch.float64), context

"""Reward, accuracy and length of the rollouts, before any filter."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rsgrpo.types import Outcome, Score, StepReport


class Rollouts:
    """`reward_mean`, `accuracy`, `completion_tokens_mean` and `truncated_fraction` over all completions.

    The mean of each part of the reward too, which for a diagnostic is a share: `reward/no_box`, `reward/timeout`.

    It remembers which parts were seen: from then on a part that an iteration lacks is 0, not absent.
    """

    def __init__(self) -> None:
        self.parts: set[str] = set()

    def __call__(self, report: StepReport) -> dict[str, float]:
        parts = reward_parts(report.outcomes)
        self.parts |= parts.keys()
        return rollout_statistics(report.outcomes) | {
            f"train/reward/{name}": parts.get(name, 0.0) for name in sorted(self.parts)
        }

    def state_dict(self) -> dict[str, Any]:
        """The parts that were seen."""
        return {"parts": sorted(self.parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the parts of a checkpoint."""
        self.parts = set(state["parts"])


def rollout_statistics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Means over all completions of an iteration."""
    scores = [score for outcome in outcomes for score in outcome.scores]
    return {
        "reward_mean": sum(s.value for s in scores) / len(scores),
        "accuracy": sum(s.correct for s in scores) / len(scores),
        "completion_tokens_mean": sum(sum(outcome.lengths) for outcome in outcomes) / len(scores),
        "truncated_fraction": sum(not finished for outcome in outcomes for finished in outcome.finished) / len(scores),
    }


def reward_parts(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Mean over all completions of each component and diagnostic of the reward; a score without it counts 0."""
    scores = [score for outcome in outcomes for score in outcome.scores]
    return {name: total / len(scores) for name, total in sum_of_parts(scores).items()}


def sum_of_parts(scores: Iterable[Score]) -> dict[str, float]:
    """The sum of each component and diagnostic of the reward, by name."""
    sums: Counter[str] = Counter()
    for score in scores:
        sums.update(score.parts)
    return dict(sorted(sums.items()))

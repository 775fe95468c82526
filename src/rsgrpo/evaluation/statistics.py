"""The numbers that callbacks write, as functions of what a step reported."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rsgrpo.types import Outcome, Score, StepReport


@dataclass(slots=True)
class SolveTracker:
    """Which train prompts were visited, and which were solved at least once, so far in the run."""

    visited: set[str] = field(default_factory=set)
    solved: set[str] = field(default_factory=set)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count the groups of an iteration, those a filter will drop included."""
        for outcome in outcomes:
            self.visited.add(outcome.prompt_id)
            if outcome.num_correct:
                self.solved.add(outcome.prompt_id)

    def rate(self, train_set_size: int) -> float:
        """|prompts with at least one correct rollout at any iteration so far| / |train set|."""
        return len(self.solved) / train_set_size

    def rate_of_visited(self) -> float:
        """The same over the prompts visited so far."""
        return len(self.solved) / max(1, len(self.visited))


def rollout_statistics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Means over all completions of an iteration, before any filter."""
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


def group_statistics(report: StepReport) -> dict[str, float]:
    """What the groups looked like, what was dropped and why, and the size of the advantages that were trained on."""
    total = len(report.outcomes)
    dropped = Counter(reason for reason in report.dropped if reason is not None)
    solved_all = sum(outcome.num_correct == len(outcome.scores) for outcome in report.outcomes)
    solved_none = sum(outcome.num_correct == 0 for outcome in report.outcomes)
    kept = report.advantages
    return {
        "groups_kept": float(total - sum(dropped.values())),
        "groups_all_correct_fraction": solved_all / total,
        "groups_all_wrong_fraction": solved_none / total,
        "advantage_rms": kept.square().mean().sqrt().item() if kept.numel() else 0.0,
        **{f"groups_dropped/{reason}": float(dropped[reason]) for reason in ("all_correct", "all_wrong")},
        **{f"groups_dropped/{reason}": float(count) for reason, count in dropped.items()},
    }


def update_statistics(report: StepReport) -> dict[str, float]:
    """The updates of an iteration, means weighted by their loss tokens; empty when nothing was trained."""
    tokens = sum(update.loss_tokens for update in report.updates)
    if not tokens:
        return {}
    names = ("loss", "grad_norm", "clip_fraction")
    means = {n: sum(getattr(u, n) * u.loss_tokens for u in report.updates) / tokens for n in names}
    return {**means, "learning_rate": report.updates[-1].learning_rate, "loss_tokens": float(tokens)}


def throughput(report: StepReport) -> dict[str, float]:
    """Tokens per second of the stages that sample and that train; a stage that did not run is left out.

    Sampled tokens are those of the completions; trained tokens are all tokens of the packed rows, prompts included,
    counted once per pass.
    """
    sampled = sum(sum(outcome.lengths) for outcome in report.outcomes)
    trained = sum(update.row_tokens for update in report.updates)
    rates = {"sampled_tokens_per_s": (sampled, "rollout"), "trained_tokens_per_s": (trained, "update")}
    return {name: count / report.seconds[s] for name, (count, s) in rates.items() if count and report.seconds.get(s)}

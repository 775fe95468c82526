"""The numbers that callbacks write, on records small enough to count by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from rsgrpo.metrics.groups import groups as group_statistics
from rsgrpo.metrics.memory import gpu_memory
from rsgrpo.metrics.rollouts import reward_parts, rollout_statistics
from rsgrpo.metrics.solve_rate import CumulativeSolveRate
from rsgrpo.metrics.timing import throughput
from rsgrpo.metrics.updates import updates as update_statistics
from rsgrpo.types import Outcome, Score, StepReport, UpdateReport


def outcome(name: str, rewards: Sequence[float], tokens: Sequence[int] = (), cut: int = 0) -> Outcome:
    """Of completions of `tokens` tokens, correct where the reward is 1, the first `cut` of them unfinished."""
    return Outcome(
        prompt_id=name,
        scores=tuple(Score(value=r, correct=r == 1) for r in rewards),
        lengths=tuple(tokens or [1] * len(rewards)),
        finished=tuple(i >= cut for i in range(len(rewards))),
        mean_logprobs=(0.0,) * len(rewards),
    )


def update(**changes: Any) -> UpdateReport:
    usual: dict[str, Any] = dict.fromkeys(("loss", "grad_norm", "learning_rate"), 0.0) | {"diagnostics": {}}
    usual |= dict.fromkeys(("num_sequences", "num_rows", "loss_tokens", "row_tokens"), 1)
    return UpdateReport(**{**usual, **changes})


def report(**changes: Any) -> StepReport:
    usual: dict[str, Any] = {
        "iteration": 1,
        "iterations": 2,
        "optimizer_steps": 1,
        "policy_version": 1,
        "train_set_size": 10,
        "outcomes": (),
        "groups": {},
        "dropped": (),
        "advantages": torch.zeros(0, 2),
        "in_force": {},
        "updates": (),
        "entropy": None,
        "logprob_gap": None,
        "seconds": {},
    }
    return StepReport(**{**usual, **changes})


def test_the_parts_of_a_reward_are_means_over_all_completions():
    parts = ({"no_box": 1.0}, {}, {"length": -0.5, "no_box": 1.0}, {"length": -1.0})
    scores = tuple(Score(value=0.0, correct=False, parts=p) for p in parts)
    groups = [outcome("a", [0.0, 0.0]), outcome("b", [0.0, 0.0])]
    scored = [replace(o, scores=half) for o, half in zip(groups, (scores[:2], scores[2:]), strict=True)]
    assert reward_parts(scored) == {"length": -0.375, "no_box": 0.5}
    assert reward_parts(groups) == {}


def rates(metric: CumulativeSolveRate, *outcomes: Outcome) -> tuple[float, float]:
    said = metric(report(outcomes=outcomes))
    return said["cumulative_solve_rate"], said["cumulative_solve_rate_visited"]


def test_a_prompt_counts_as_solved_once_and_for_good():
    metric = CumulativeSolveRate()
    assert rates(metric, outcome("a", [0.0, 1.0]), outcome("b", [0.0, 0.0])) == (0.1, 0.5)
    # Failing later does not undo it, solving again does not count twice.
    rates(metric, outcome("a", [0.0, 0.0]), outcome("c", [1.0, 1.0]))
    assert rates(metric, outcome("a", [1.0, 1.0])) == (0.2, pytest.approx(2 / 3))
    assert (metric.solved, metric.visited) == ({"a", "c"}, {"a", "b", "c"})


def test_nothing_visited_is_nothing_solved():
    assert rates(CumulativeSolveRate()) == (0, 0)


def test_solved_means_correct_and_not_rewarded():
    assert rates(CumulativeSolveRate(), outcome("a", [0.5, 0.9])) == (0, 0)


def test_rollout_statistics_are_means_over_completions():
    # Five completions: rewards 1, 0, 0.5, 0.5, 1; tokens 2, 4, 1, 1, 7; one of the first group ran out of room.
    groups = [outcome("a", [1.0, 0.0], [2, 4], cut=1), outcome("b", [0.5, 0.5, 1.0], [1, 1, 7])]
    assert rollout_statistics(groups) == pytest.approx(
        {"reward_mean": 0.6, "accuracy": 0.4, "completion_tokens_mean": 3.0, "truncated_fraction": 0.2}
    )


def test_group_statistics_count_before_and_after_the_filter():
    groups = (outcome("a", [1.0, 1.0]), outcome("b", [0.0, 1.0]), outcome("c", [0.0, 0.0]), outcome("d", [0.5, 0.5]))
    got = group_statistics(
        report(
            outcomes=groups,
            dropped=("all_correct", None, "all_wrong", "equal_rewards"),
            advantages=torch.tensor([[-3.0, 4.0]]),
        )
    )
    # rms = sqrt((9 + 16) / 2); d has no correct completion, so half of the groups are all wrong.
    assert got == pytest.approx(
        {
            "groups_kept": 1.0,
            "groups_all_correct_fraction": 0.25,
            "groups_all_wrong_fraction": 0.5,
            "advantage_rms": 12.5**0.5,
            "train/groups_dropped/all_correct": 1.0,
            "train/groups_dropped/all_wrong": 1.0,
            "train/groups_dropped/equal_rewards": 1.0,
        }
    )


def test_group_statistics_of_an_iteration_without_training():
    got = group_statistics(report(outcomes=(outcome("a", [1.0, 1.0]),), dropped=("all_correct",)))
    assert got["groups_kept"] == 0
    assert got["advantage_rms"] == 0
    assert got["train/groups_dropped/all_wrong"] == 0


def test_update_statistics_weigh_updates_by_their_loss_tokens():
    updates = (
        update(loss=1.0, grad_norm=4.0, diagnostics={"clip_fraction": 0.0}, loss_tokens=30, learning_rate=1e-3),
        update(loss=5.0, grad_norm=0.0, diagnostics={"clip_fraction": 0.4}, loss_tokens=10, learning_rate=2e-3),
    )
    # (30 * 1 + 10 * 5) / 40, (30 * 4) / 40, (10 * 0.4) / 40; the learning rate is the last one.
    assert update_statistics(report(updates=updates)) == pytest.approx(
        {
            "loss": 2.0,
            "grad_norm": 3.0,
            "clip_fraction": 0.1,
            "learning_rate": 2e-3,
            "loss_tokens": 40.0,
            "iteration": 1,
            "optimizer_steps": 1,
            "bad_updates": 0,
        }
    )


def test_no_updates_have_counters_alone():
    assert update_statistics(report()) == {"iteration": 1, "optimizer_steps": 1, "bad_updates": 0}


def test_throughput_divides_tokens_by_the_time_of_their_stage():
    got = throughput(
        report(
            outcomes=(outcome("a", [1.0, 0.0], [20, 30]), outcome("b", [1.0, 0.0], [10, 0])),
            updates=(update(row_tokens=100), update(row_tokens=60)),
            seconds={"rollout": 4.0, "update": 0.5, "reward": 9.0},
        )
    )
    assert got == {"sampled_tokens_per_s": 15.0, "trained_tokens_per_s": 320.0}


def test_a_stage_that_did_not_run_has_no_throughput():
    groups = (outcome("a", [1.0, 1.0], [8, 8]),)
    assert throughput(report(outcomes=groups, seconds={"rollout": 2.0})) == {"sampled_tokens_per_s": 8.0}
    assert throughput(report(outcomes=groups, seconds={"rollout": 2.0, "update": 1.0})) == {"sampled_tokens_per_s": 8.0}
    assert throughput(report()) == {}


def test_memory_is_told_in_gib_by_stage_and_not_without_a_gpu():
    assert gpu_memory(report(gpu_bytes={"update": 3 * 2**29})) == {"memory/update_gib": 1.5}
    assert gpu_memory(report()) == {}

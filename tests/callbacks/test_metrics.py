"""The one callback of all metrics: what it keeps, and that others find what it logged."""

from types import SimpleNamespace
from typing import Any

import pytest

from rsgrpo.callbacks.metrics import StepMetrics
from rsgrpo.metrics.entropy import entropy
from rsgrpo.metrics.rollouts import Rollouts
from rsgrpo.metrics.solve_rate import CumulativeSolveRate
from tests.metrics.test_metrics import outcome, report

pytestmark = pytest.mark.usefixtures("as_users_run_it")

KEPT = {"visited": ["a", "b"], "solved": ["a"]}


def metrics() -> dict[str, Any]:
    return {"reward": Rollouts(), "solve_rate": CumulativeSolveRate(), "entropy": entropy}


def test_all_metrics_are_logged_as_one_record() -> None:
    logged: list[Any] = []
    module: Any = SimpleNamespace(log_metrics=logged.append)
    seen = {"report": report(outcomes=(outcome("a", [1.0, 0.0]),), entropy=0.5)}
    StepMetrics(metrics()).on_train_batch_end(None, module, seen, None, 0)  # pyright: ignore[reportArgumentType]
    assert len(logged) == 1
    assert logged[0] | {"train/reward_mean": 0.5, "train/cumulative_solve_rate": 0.1, "train/entropy": 0.5} == logged[0]


def test_what_metrics_remember_is_kept_and_taken_up() -> None:
    first, second = StepMetrics(metrics()), StepMetrics(metrics())
    first.metrics["solve_rate"].load_state_dict(KEPT)
    kept = {"callbacks": {first.state_key: first.state_dict()}}
    assert kept["callbacks"][first.state_key].keys() == {"reward", "solve_rate"}
    second.on_load_checkpoint(None, None, kept)  # pyright: ignore[reportArgumentType]
    assert second.metrics["solve_rate"].state_dict() == KEPT


def test_checkpoints_of_before_kept_it_under_callbacks_of_their_own() -> None:
    before = {"callbacks": {"Reward": {"parts": ["no_box"]}, "CumulativeSolveRate": KEPT, "Checkpoint": {}}}
    callback = StepMetrics(metrics())
    callback.on_load_checkpoint(None, None, before)  # pyright: ignore[reportArgumentType]
    assert callback.metrics["solve_rate"].state_dict() == KEPT
    assert callback.metrics["reward"].state_dict() == {"parts": ["no_box"]}


def test_a_checkpoint_that_lacks_a_metric_leaves_it_as_it_is() -> None:
    callback = StepMetrics(metrics())
    callback.on_load_checkpoint(None, None, {"callbacks": {}})  # pyright: ignore[reportArgumentType]
    assert callback.metrics["solve_rate"].state_dict() == {"visited": [], "solved": []}

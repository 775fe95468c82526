"""Schedules in whole runs: what is logged, and that a resumed run knows what the first one had learnt."""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rsgrpo.run_folder import checkpoint, state_of
from tests.run_folders import describe_anew
from tests.runs import SETTINGS, RunPy, records
from tests.training.difficulty import accuracies_before, moving_averages
from tests.training.test_run import assert_same_weights, weights, without_times

SIX_PROMPTS = 6
"""Fewer than the 8 prompts of an iteration: each is visited at least once in it, some twice."""

ADAPTIVE = ("schedule=adaptive", "schedule.hardest=10", "schedule.decay=0.75")
"""With objective.beta=4 of the settings: beta = 4 + 6 (1 - accuracy)."""


def on_six_prompts(folder: Path) -> tuple[str, ...]:
    """The settings of other runs on a data set that is gone through more than once."""
    problems = folder / "six.jsonl"
    lines = [json.dumps({"problem": f"{i} + 1 =", "answer": str(i + 1)}) for i in range(1, SIX_PROMPTS + 1)]
    problems.write_text("\n".join(lines) + "\n")
    elsewhere = ("reward", "data.", "eval.")
    kept = [s for s in SETTINGS if not s.startswith(elsewhere)]
    parity = ("reward=custom", "reward._target_=tests.training.parity_reward.ParityReward")
    return (*kept, "data=local", f"data.path={problems}", "data.suffix=''", *parity, "eval.k=[1]")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return on_six_prompts(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def adaptive(run_py: RunPy, settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six iterations without a break."""
    folder = tmp_path_factory.mktemp("runs") / "adaptive"
    return run_py(folder, *ADAPTIVE, "callbacks.checkpoint.keep=9", settings=settings)


def trained(run: Path) -> list[dict[str, Any]]:
    """The records of iterations that trained something."""
    return [r for r in records(run / "metrics.jsonl") if "train/loss" in r]


@pytest.mark.slow
def test_rewards_that_are_whole_numbers_train_as_floats_do(
    run_py: RunPy, adaptive: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    whole = ("reward._target_=tests.training.parity_reward.whole", "iterations=2")
    run = run_py(tmp_path / "run", *ADAPTIVE, *whole, settings=settings)
    names = ("train/beta", "train/advantage_rms", "train/loss", "train/grad_norm")
    pairs = list(zip(trained(run), trained(adaptive)[:2], strict=True))
    assert [[ours[name] for name in names] for ours, _ in pairs] == [[theirs[n] for n in names] for _, theirs in pairs]


def saved_accuracies(run: Path, iteration: int) -> dict[str, float]:
    content = torch.load(state_of(checkpoint(run, iteration)), weights_only=False)
    return content["rsgrpo"]["parts"]["schedule"]["accuracy"]


def betas(accuracies: Sequence[float]) -> list[float]:
    return [4 + 6 * (1 - a) for a in accuracies]


def test_a_linear_schedule_is_logged_beside_the_size_of_the_advantages(run_py: RunPy, tmp_path: Path) -> None:
    # From 8 to objective.beta=4 in four steps of -1 after one held: 8, 8, 7, 6, 5, 4.
    run = run_py(tmp_path / "run", "schedule=linear", "schedule.hold=1", "schedule.decay=4")
    logged = [r for r in records(run / "metrics.jsonl") if "train/reward_mean" in r]
    assert [r["iteration"] for r in logged] == [1, 2, 3, 4, 5, 6]
    assert [r["train/beta"] for r in logged] == [8.0, 8.0, 7.0, 6.0, 5.0, 4.0]
    assert all(r["train/advantage_rms"] > 0 for r in logged)
    assert not any("train/beta_min" in r or "train/k" in r for r in logged)


def test_the_logged_beta_is_the_one_that_shaped_the_advantages(run_py: RunPy, tmp_path: Path) -> None:
    # For c of N correct, A+ = (N - c) s and A- = -c s with s = (e^beta - 1)/(beta (c e^beta + N - c)), whose mean
    # square is c (N - c) s^2. The root of its mean over the groups that were kept is train/advantage_rms.
    run = run_py(tmp_path / "run", "schedule=linear", "schedule.decay=2", "iterations=3")
    visits = records(run / "prompts.jsonl")
    for record, beta in zip(trained(run), (8.0, 6.0, 4.0), strict=True):
        kept = [v for v in visits if v["iteration"] == record["iteration"] and v["dropped"] is None]
        squares = []
        for n, c in ((v["n"], v["correct"]) for v in kept):
            s = (math.exp(beta) - 1) / (beta * (c * math.exp(beta) + n - c))
            squares.append(c * (n - c) * s**2)
        assert record["train/advantage_rms"] == pytest.approx(math.sqrt(sum(squares) / len(squares)), rel=1e-5)


def test_an_adaptive_schedule_logs_mean_and_range_of_what_was_trained_on(adaptive: Path) -> None:
    assert len(trained(adaptive)) == 6
    for record in trained(adaptive):
        expected = betas(accuracies_before(adaptive, record["iteration"], decay=0.75))
        assert record["train/beta"] == pytest.approx(sum(expected) / len(expected), rel=1e-6)
        assert record["train/beta_min"] == pytest.approx(min(expected), rel=1e-6)
        assert record["train/beta_max"] == pytest.approx(max(expected), rel=1e-6)
    # Nothing is known in the first iteration: the prior everywhere; later each prompt has a beta of its own.
    assert (trained(adaptive)[0]["train/beta_min"], trained(adaptive)[0]["train/beta_max"]) == (7.0, 7.0)
    assert all(r["train/beta_min"] < r["train/beta_max"] for r in trained(adaptive)[1:])


def test_an_iteration_that_trained_nothing_has_no_beta(
    run_py: RunPy, settings: tuple[str, ...], tmp_path: Path
) -> None:
    # Countdown's own reward, which a random policy never earns: every group is dropped.
    never = [s for s in settings if not s.startswith("reward")]
    run = run_py(tmp_path / "run", *ADAPTIVE, "reward=math_verify", "iterations=2", settings=tuple(never))
    logged = [r for r in records(run / "metrics.jsonl") if "train/reward_mean" in r]
    assert len(logged) == 2
    assert not any(key.startswith("train/beta") for r in logged for key in r)
    # What was learnt from them stays: all six are known to be hard.
    assert set(saved_accuracies(run, 2).values()) == {0.0}
    assert len(saved_accuracies(run, 2)) == SIX_PROMPTS


def test_groups_that_were_dropped_count_as_visits(adaptive: Path) -> None:
    visits = records(adaptive / "prompts.jsonl")
    dropped = [v for v in visits if v["dropped"] is not None]
    assert dropped
    for iteration in range(1, 7):
        expected = moving_averages([v for v in visits if v["iteration"] <= iteration], 0.75)
        assert saved_accuracies(adaptive, iteration) == pytest.approx(expected, abs=1e-12)
    # Without them the averages would be others: the test above can tell.
    kept_only = moving_averages([v for v in visits if v["dropped"] is None], 0.75)
    assert saved_accuracies(adaptive, 6) != pytest.approx(kept_only, abs=1e-3)


@pytest.mark.slow
def test_three_and_three_adaptive_iterations_equal_six(
    run_py: RunPy, settings: tuple[str, ...], adaptive: Path, tmp_path: Path
) -> None:
    run = run_py(tmp_path / "run", *ADAPTIVE, "iterations=3", settings=settings)
    assert len(saved_accuracies(run, 3)) == SIX_PROMPTS
    before = saved_accuracies(run, 3)
    forgetful = tmp_path / "forgetful"
    shutil.copytree(run, forgetful)
    run_py(run, f"ckpt={run}", "iterations=6")
    assert_same_weights(run, adaptive)
    assert records(run / "prompts.jsonl") == records(adaptive / "prompts.jsonl")
    assert without_times(records(run / "metrics.jsonl")) == without_times(records(adaptive / "metrics.jsonl"))
    assert saved_accuracies(run, 6) == saved_accuracies(adaptive, 6) != before
    # The state is what makes them equal: without it the same checkpoint goes on otherwise.
    file = state_of(checkpoint(forgetful, 3))
    content = torch.load(file, weights_only=False)
    content["rsgrpo"]["parts"]["schedule"]["accuracy"] = {}
    torch.save(content, file)
    describe_anew(checkpoint(forgetful, 3))
    run_py(forgetful, f"ckpt={forgetful}", "iterations=6")
    assert any(not torch.equal(t, weights(adaptive)[name]) for name, t in weights(forgetful).items())
    assert [r["train/beta_min"] for r in trained(forgetful)][3] == 7.0


def test_a_resumed_run_goes_on_along_the_line(run_py: RunPy, settings: tuple[str, ...], tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", "schedule=linear", "schedule.decay=4", "iterations=3", settings=settings)
    run_py(run, f"ckpt={run}", "iterations=6")
    assert [r["train/beta"] for r in trained(run)] == [8.0, 7.0, 6.0, 5.0, 4.0, 4.0]

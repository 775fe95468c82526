"""The built-in experiment, whole: GRPO and RS-GRPO from the base model that comes with the package."""

from pathlib import Path
from statistics import mean

import pytest

from rsgrpo.measures.pass_at_k import mean_pass_at_k
from rsgrpo.rollouts.vllm.process import missing
from tests.processes import new_process
from tests.runs import records


def run(folder: Path, *overrides: str) -> None:
    """`python run.py` with nothing but `overrides`, on a machine that has no base in its cache."""
    cache = {"RSGRPO_CACHE": str(folder.with_name("cache"))}
    finished = new_process("run.py", f"hydra.run.dir={folder}", *overrides, variables=cache, timeout=1800)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "pretraining" not in finished.stdout + finished.stderr


def pass_at(folder: Path, iteration: int) -> dict[str, float]:
    """pass@k of the test split after `iteration`."""
    results = [r for r in records(folder / "eval" / "test.jsonl") if r["iteration"] == iteration]
    assert len(results) == 255
    return mean_pass_at_k([(r["n"], r["correct"]) for r in results], [1, 32])


def solve_rate(folder: Path) -> float:
    rates = [r.get("train/cumulative_solve_rate") for r in records(folder / "metrics.jsonl")]
    return [rate for rate in rates if rate is not None][-1]


@pytest.mark.slow
def test_a_risk_seeking_objective_solves_what_grpo_sharpens_away(tmp_path: Path) -> None:
    grpo, seeking = tmp_path / "grpo", tmp_path / "rs_grpo"
    run(grpo, "objective=grpo")
    run(seeking, "objective=rs_grpo", "objective.beta=4")
    base = pass_at(grpo, 0)
    assert pass_at(seeking, 0) == base  # the same policy, the same random numbers
    assert 0.05 < base["pass@1"] < 0.25  # the prior is imperfect,
    assert base["pass@32"] > 0.5  # and knows more than it shows at first
    # Both learn; only the risk-seeking one keeps and finds what is rare. Margins are a third of what was measured.
    assert pass_at(grpo, 60)["pass@1"] > base["pass@1"] + 0.03
    assert pass_at(seeking, 60)["pass@1"] > base["pass@1"] + 0.02
    assert pass_at(seeking, 60)["pass@32"] > base["pass@32"] + 0.04
    assert pass_at(seeking, 60)["pass@32"] > pass_at(grpo, 60)["pass@32"] + 0.07
    assert solve_rate(seeking) > solve_rate(grpo) + 0.05


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_twenty_iterations_that_vllm_samples_raise_the_reward(tmp_path: Path) -> None:
    run(tmp_path / "run", "rollout=vllm", "rollout.kv_cache_gib=0.5", "iterations=20", "eval.every=20")
    steps = [r for r in records(tmp_path / "run" / "metrics.jsonl") if "train/reward_mean" in r]
    assert len(steps) == 20
    gaps = [step["train/logprob_gap"] for step in steps]
    assert all(0 < gap < 1e-4 for gap in gaps), gaps
    rewards = [step["train/reward_mean"] for step in steps]
    # Each iteration has 512 completions: the mean of five has a standard error below .01.
    assert mean(rewards[-5:]) > mean(rewards[:5]) + 0.03, rewards

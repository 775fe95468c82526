"""Whole runs with `rollout=vllm`: sampler and trainer agree at every step, wherever the run is cut and shared out."""

from pathlib import Path

import pytest

from rsgrpo.rollouts.vllm.process import missing
from rsgrpo.rollouts.vllm.weights import BOUNDS
from tests.distributed.test_fsdp2 import TWO_RANKS, assert_same_run
from tests.processes import new_process
from tests.runs import RunPy, records
from tests.training.test_run import assert_same_weights, without_times

VLLM = ("rollout=vllm", "rollout.kv_cache_gib=0.125")
BOUND = BOUNDS["float32"]
"""Nats by which log-probs of sampler and trainer may differ."""

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def on_vllm(run_py: RunPy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`six_iterations`, sampled by vLLM: with validations and checkpoints in between."""
    return run_py(tmp_path_factory.mktemp("runs") / "vllm", *VLLM, start=new_process)


def assert_sampled_from_what_is_trained(run: Path, iterations: int) -> None:
    gaps = [r["train/logprob_gap"] for r in records(run / "metrics.jsonl") if "train/logprob_gap" in r]
    assert len(gaps) == iterations
    assert all(0 < gap < BOUND for gap in gaps), gaps


@pytest.mark.slow
def test_sampler_and_trainer_agree_at_every_step(on_vllm: Path, six_iterations: Path) -> None:
    assert_sampled_from_what_is_trained(on_vllm, 6)
    evaluated = [(r["iteration"], r["problem_id"], r["n"]) for r in records(on_vllm / "eval/validation.jsonl")]
    assert evaluated == [
        (r["iteration"], r["problem_id"], r["n"]) for r in records(six_iterations / "eval/validation.jsonl")
    ]


@pytest.mark.slow
def test_three_and_three_iterations_equal_six(run_py: RunPy, on_vllm: Path, tmp_path: Path) -> None:
    """The engine of the resumed run has the checkpoint's weights."""
    run = run_py(tmp_path / "run", *VLLM, "iterations=3")
    run_py(run, f"ckpt={run}", "iterations=6")
    assert_same_weights(run, on_vllm)
    assert records(run / "prompts.jsonl") == records(on_vllm / "prompts.jsonl")


@pytest.mark.slow
def test_two_ranks_with_an_engine_each_are_the_run_of_one(run_py: RunPy, on_vllm: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", *VLLM, *TWO_RANKS)
    assert_sampled_from_what_is_trained(run, 6)
    assert_same_run(run, on_vllm)


@pytest.mark.slow
def test_two_ranks_that_share_an_engine_are_the_run_of_one(run_py: RunPy, on_vllm: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", *VLLM, *TWO_RANKS, "rollout.tensor_parallel_size=2")
    assert_sampled_from_what_is_trained(run, 6)
    assert_same_run(run, on_vllm)


@pytest.mark.slow
def test_a_vllm_that_is_merely_there_changes_nothing(run_py: RunPy, six_iterations: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", "rollout=custom", "rollout._target_=tests.rollouts.beside.Beside")
    assert_same_weights(run, six_iterations)
    for name in ("prompts.jsonl", "rollouts.jsonl", "eval/validation.jsonl", "eval/test.jsonl"):
        assert records(run / name) == records(six_iterations / name), name
    assert without_times(records(run / "metrics.jsonl")) == without_times(records(six_iterations / "metrics.jsonl"))


@pytest.mark.slow
def test_a_bfloat16_engine_samples_from_float32_masters(run_py: RunPy, tmp_path: Path) -> None:
    """Rounding is all that it adds: the check at every sync has a bound of its own for the type."""
    run = run_py(tmp_path / "run", *VLLM, "rollout.dtype=bfloat16")
    gaps = [r["train/logprob_gap"] for r in records(run / "metrics.jsonl") if "train/logprob_gap" in r]
    assert len(gaps) == 6
    assert all(BOUND < gap < BOUNDS["bfloat16"] for gap in gaps), gaps


REFILLED = ("batching.max_refills=2", "iterations=3", "eval.every=100", "eval.test_every=null")


@pytest.mark.slow
def test_two_ranks_that_share_an_engine_refill_as_one(run_py: RunPy, tmp_path: Path) -> None:
    """What is missing is now and then an odd number of prompts, or a single one."""
    one = run_py(tmp_path / "one", *VLLM, *REFILLED)
    two = run_py(tmp_path / "two", *VLLM, *REFILLED, *TWO_RANKS, "rollout.tensor_parallel_size=2")
    assert any("train/refills" in record for record in records(one / "metrics.jsonl"))
    assert_same_run(two, one)


@pytest.mark.slow
def test_an_engine_in_bfloat16_is_corrected_unless_told_otherwise(run_py: RunPy, tmp_path: Path) -> None:
    half = (*VLLM, "rollout.dtype=bfloat16", *REFILLED)
    corrected, plain = run_py(tmp_path / "a", *half), run_py(tmp_path / "b", *half, "correction=none")
    assert "corrected by token_truncate cap=2: it samples in bfloat16" in (corrected / "terminal.txt").read_text()
    assert "bfloat16, not corrected" in (plain / "terminal.txt").read_text()
    for run, has in ((corrected, True), (plain, False)):
        steps = [record for record in records(run / "metrics.jsonl") if "train/loss" in record]
        assert steps
        for step in steps:
            assert ("train/correction_weight" in step) is has
            assert BOUND < step["train/logprob_gap_mean"] < step["train/logprob_gap_p99"] < step["train/logprob_gap"]
            assert step["train/sampler_kl"] > 0

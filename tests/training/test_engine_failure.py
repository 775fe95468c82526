"""An engine that fails ends the run on all ranks, after what was finished is saved; the run goes on from there."""

import re
import subprocess
from pathlib import Path

import pytest

from rsgrpo import run_folder
from rsgrpo.rollouts.vllm.process import missing
from tests.processes import ROOT, python
from tests.runs import SETTINGS, RunPy, records
from tests.training.failing_engine import FAILS
from tests.training.test_run import assert_same_weights, without_times

ENGINE = "rollout._target_=tests.training.failing_engine.FailingEngine"
TWO_RANKS = ("trainer=fsdp2", "trainer.devices=2")


def fail(
    run: Path, policy: Path, moment: str, *overrides: str, engine: tuple[str, ...] = (ENGINE,)
) -> subprocess.CompletedProcess[str]:
    """A run whose engine fails at `moment`, and that saves nothing before its last iteration."""
    given = [f"hydra.run.dir={run}", f"model.path={policy}", *SETTINGS, "callbacks.checkpoint.every=100", *engine]
    return python("run.py", *given, *overrides, variables={"PYTHONPATH": str(ROOT), FAILS: moment})


def assert_goes_on(run_py: RunPy, run: Path, uninterrupted: Path) -> None:
    run_py(run, f"ckpt={run}")
    assert_same_weights(run, uninterrupted)
    for name in ("prompts.jsonl", "eval/validation.jsonl", "eval/test.jsonl"):
        assert records(run / name) == records(uninterrupted / name), name
    mine, theirs = (without_times(records(folder / "metrics.jsonl")) for folder in (run, uninterrupted))
    assert mine == theirs


def test_what_is_whole_is_saved_and_the_run_goes_on_as_if_nothing_had_been(
    run_py: RunPy, random_policy: Path, six_iterations: Path, tmp_path: Path
) -> None:
    """It fails in the fourth rollout, when a group has been given to the reward already."""
    run = tmp_path / "run"
    failed = fail(run, random_policy, "generate 3 0")
    assert failed.returncode == 2
    raised = r"rollout: FailingEngine\.generate raised ZeroDivisionError\('the device is gone'\) \(\S+\.py, line \d+\)"
    assert re.search(raised, failed.stderr)
    assert f"the run failed; go on from iteration 3 with: python run.py ckpt={run}" in failed.stdout + failed.stderr
    assert [run_folder.iteration_of(path) for path in run_folder.checkpoints(run)] == [3]
    assert_goes_on(run_py, run, six_iterations)


@pytest.mark.parametrize(
    ("moment", "iteration"),
    [
        pytest.param("generate 3 1", 3, marks=pytest.mark.slow),
        pytest.param("generate 4 0", 4, marks=pytest.mark.slow),  # in a validation, before the fifth rollout
        pytest.param("load_policy 5 1", 5, marks=pytest.mark.slow),
        pytest.param("load_policy 5 0", 5, marks=pytest.mark.slow),
    ],
)
def test_both_ranks_end_saved_whichever_fails(
    run_py: RunPy, random_policy: Path, six_iterations: Path, tmp_path: Path, moment: str, iteration: int
) -> None:
    run = tmp_path / "run"
    failed = fail(run, random_policy, moment, *TWO_RANKS)
    words = "not enough memory" if moment.startswith("load") else "ZeroDivisionError('the device is gone')"
    assert failed.returncode != 0
    assert words in failed.stderr
    if moment.endswith("1"):
        assert "rank 1: " in failed.stderr, "rank 0 says whose words these are"
    assert [run_folder.iteration_of(path) for path in run_folder.checkpoints(run)] == [iteration]
    run_py(run, f"ckpt={run}")
    assert records(run / "prompts.jsonl") == records(six_iterations / "prompts.jsonl")
    assert records(run / "eval/validation.jsonl") == records(six_iterations / "eval/validation.jsonl")


@pytest.mark.slow
def test_another_engine_takes_over(run_py: RunPy, random_policy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert fail(run, random_policy, "generate 3 0").returncode == 2
    run_py(run, f"ckpt={run}", "rollout=hf", "rollout.max_rows=8")
    assert len(records(run / "prompts.jsonl")) == 6 * 8
    times = (run / "terminal.txt").read_text()
    assert "│ checkpoints, logging" in times
    assert "-" not in times[times.index("checkpoints, logging") :].split("│")[1], "of this process alone"


def test_an_engine_that_fails_before_anything_is_trained_saves_nothing(random_policy: Path, tmp_path: Path) -> None:
    failed = fail(tmp_path / "run", random_policy, "load_policy 0 0")
    assert failed.returncode == 2
    assert failed.stderr.endswith("rollout=failing: not enough memory\n")
    assert run_folder.checkpoints(tmp_path / "run") == []


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("rank", [0, 1])
def test_a_shared_engine_that_fails_ends_its_other_rank_at_the_last_checkpoint(
    run_py: RunPy, random_policy: Path, tmp_path: Path, rank: int
) -> None:
    """The other rank waits inside vLLM, and cannot be told."""
    run, given = tmp_path / "run", ("rollout=vllm", "rollout.kv_cache_gib=0.125", "rollout.tensor_parallel_size=2")
    vllm = "rollout._target_=tests.training.failing_engine.FailingVLLM"
    saving = ("callbacks.checkpoint.every=2", *TWO_RANKS)
    failed = fail(run, random_policy, f"step 3 {rank}", *given, vllm, *saving, engine=())
    assert failed.returncode != 0
    assert "EngineLost: vLLM failed on this rank while others wait for it: the device is gone" in failed.stderr
    assert [run_folder.iteration_of(path) for path in run_folder.checkpoints(run)] == [2]
    run_py(run, f"ckpt={run}")
    assert len(records(run / "prompts.jsonl")) == 6 * 8

"""Whole runs on two processes under FSDP2: the run of one process, wherever it is cut and however it is started."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rsgrpo import checkpoints, run_folder
from tests.processes import ROOT, new_process, python
from tests.runs import SETTINGS, RunPy, records
from tests.training.test_run import (
    assert_same_metrics_but_of_the_test_at_the_first_end,
    assert_same_weights,
    listen_to_ctrl_c,
    weights,
    without_times,
)

LR = 1e-3
"""Of the settings. Adam moves every weight by about this much at each step, whatever the size of the gradient."""

TWO_RANKS = ("trainer=fsdp2", "trainer.devices=2")
RECORDS = ("prompts.jsonl", "rollouts.jsonl", "eval/validation.jsonl", "eval/test.jsonl")


@pytest.fixture(scope="module")
def on_two_ranks(run_py: RunPy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run of `six_iterations` on two ranks."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    return run_py(folder, *TWO_RANKS, "callbacks.export.every=3", start=new_process)


def assert_nearly_same_weights(a: Path, b: Path) -> None:
    """Up to the order in which floats are added: 1 % of one step."""
    assert weights(a).keys() == weights(b).keys()
    for name, tensor in weights(a).items():
        torch.testing.assert_close(tensor, weights(b)[name], atol=1e-2 * LR, rtol=0, msg=name)


def assert_same_run(a: Path, b: Path, *, files: tuple[str, ...] = RECORDS) -> None:
    """The same rollouts and verdicts, and metrics and weights that are equal up to the order of summation."""
    for name in files:
        assert records(a / name) == records(b / name), name
    mine, theirs = (without_times(records(run / "metrics.jsonl")) for run in (a, b))
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        gaps = dict.fromkeys(("train/logprob_gap", "train/logprob_gap_mean", "train/logprob_gap_p99"), 1e-5)
        means = dict.fromkeys(("train/loss", "train/kl", "train/covariance"), 1e-6)
        rounding = {**gaps, **means, "train/sampler_kl": 1e-9}
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert math.isclose(value, other[name], rel_tol=1e-5, abs_tol=rounding.get(name, 0)), (one, name)
    assert_nearly_same_weights(a, b)


def test_two_ranks_are_the_run_of_one(six_iterations: Path, on_two_ranks: Path) -> None:
    assert_same_run(on_two_ranks, six_iterations)


def test_two_ranks_speak_as_one(on_two_ranks: Path) -> None:
    said = (on_two_ranks / "terminal.txt").read_text()
    for once in ("run folder", "iteration 6/6", "test: base policy", "base against trained", "all steps"):
        assert said.count(once) == (2 if once == "run folder" else 1), once  # at the start and at the end
    assert "Warning" not in said


def test_policies_are_exported_on_a_schedule_of_their_own(on_two_ranks: Path) -> None:
    folders = sorted(folder.name for folder in (on_two_ranks / "policies").iterdir())
    assert folders == ["iteration_000003", "iteration_000006"]
    early, late = (load_file(on_two_ranks / "policies" / name / "model.safetensors") for name in folders)
    last = weights(on_two_ranks)
    assert late.keys() == early.keys() == last.keys()
    assert all(torch.equal(late[name], last[name]) for name in last)
    assert any(not torch.equal(early[name], last[name]) for name in last)


def test_the_policy_of_two_ranks_is_an_ordinary_folder(on_two_ranks: Path, six_iterations: Path) -> None:
    theirs = {file.name for file in (six_iterations / "policy").iterdir()}
    assert {file.name for file in (on_two_ranks / "policy").iterdir()} == theirs


@pytest.mark.slow
def test_three_and_three_iterations_equal_six_on_two_ranks(run_py: RunPy, on_two_ranks: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", *TWO_RANKS, "iterations=3")
    run_py(run, f"ckpt={run}", "iterations=6")
    assert_same_weights(run, on_two_ranks)
    assert records(run / "prompts.jsonl") == records(on_two_ranks / "prompts.jsonl")
    assert_same_metrics_but_of_the_test_at_the_first_end(run, on_two_ranks, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TWO_RANKS, ("trainer.devices=1",)),
        (("trainer=fsdp2", "trainer.devices=1"), ("trainer.devices=2",)),
        (("trainer=cpu",), TWO_RANKS),
    ],
    ids=["2 to 1", "1 to 2", "unsharded to 2"],
)
def test_a_run_goes_on_with_another_number_of_ranks(
    run_py: RunPy, six_iterations: Path, tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    run = run_py(tmp_path / "run", *before, "iterations=3")
    run_py(run, f"ckpt={run}", "iterations=6", *after)
    assert records(run / "prompts.jsonl") == records(six_iterations / "prompts.jsonl")
    assert_nearly_same_weights(run, six_iterations)


EVERYTHING = (
    *("term/kl=k3", "term.kl.coefficient=0.1", "term/entropy=target", "term.entropy.target=3", "order=posterior"),
    *("batching.max_refills=2", "correction=token_truncate", "objective.estimator=loo", "iterations=3"),
)
"""Terms, refills and an order that learns, all at once."""


@pytest.mark.slow
def test_terms_refills_and_orders_are_those_of_one_rank(run_py: RunPy, tmp_path: Path) -> None:
    one, two = (run_py(tmp_path / name, *EVERYTHING, *ranks) for name, ranks in (("one", ()), ("two", TWO_RANKS)))
    assert_same_run(two, one)
    assert any("train/refills" in record for record in records(one / "metrics.jsonl"))


@pytest.mark.slow
def test_adapters_and_their_reference_are_those_of_one_rank(run_py: RunPy, tmp_path: Path) -> None:
    words = ("model.lora.rank=4", "term/kl=k2", "term.kl.coefficient=0.1", "iterations=3")
    one, two = (run_py(tmp_path / name, *words, *ranks) for name, ranks in (("one", ()), ("two", TWO_RANKS)))
    assert_same_run(two, one)
    assert any(record.get("train/kl", 0) > 1e-6 for record in records(one / "metrics.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["clip_cov", "kl_cov"])
def test_a_shaping_is_that_of_one_rank(run_py: RunPy, tmp_path: Path, choice: str) -> None:
    words = (f"shaping={choice}", "shaping.share=0.1", "filter=none", "iterations=3")
    words = (*words, "shaping.low=-0.5") if choice == "clip_cov" else words
    one, two = (run_py(tmp_path / name, *words, *ranks) for name, ranks in (("one", ()), ("two", TWO_RANKS)))
    assert_same_run(two, one)
    trained = [record for record in records(one / "metrics.jsonl") if "train/loss" in record]
    assert all(record["train/shaped_fraction"] > 0.05 for record in trained)


NAN = ("loss=custom", "loss._target_=tests.training.nan_loss.NaNLoss", "batching.prompts_per_update=8", "filter=none")
"""One update in each iteration, the i-th of which is call i + 1 of its loss."""


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [(), TWO_RANKS], ids=["one rank", "the second of two ranks"])
def test_all_ranks_skip_an_update_that_is_not_finite_on_one(
    run_py: RunPy, tmp_path: Path, ranks: tuple[str, ...]
) -> None:
    run = run_py(tmp_path / "run", *NAN, "+loss.calls=[4]", "iterations=5", *ranks)
    steps = [record for record in records(run / "metrics.jsonl") if "train/reward_mean" in record]
    assert [record["train/bad_updates"] for record in steps] == [0, 0, 1, 0, 0]
    assert steps[-1]["train/optimizer_steps"] == 4
    assert (run / "terminal.txt").read_text().count("the loss of an update of iteration 3 is nan: the update is") == 1
    assert all(tensor.isfinite().all() for tensor in weights(run).values())


@pytest.mark.slow
def test_bad_updates_in_a_row_end_the_run_beside_a_whole_checkpoint(random_policy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = (f"hydra.run.dir={run}", f"model.path={random_policy}", *SETTINGS, *NAN, "+loss.calls=[4,5,6,7,8,9]")
    ended = python("run.py", *words, "iterations=9", variables={"PYTHONPATH": str(ROOT)})
    assert ended.returncode == 2
    assert "of iteration 5 is nan, and so were the 2 before it; try smaller rewards" in ended.stderr
    assert "the run failed; go on from iteration 4 with" in ended.stdout + ended.stderr
    saved = run_folder.checkpoints(run)
    assert [run_folder.iteration_of(checkpoint) for checkpoint in saved] == [3, 4]
    trusted = [word for word in (*SETTINGS, *NAN) if "_target_" in word]
    # The calls of its loss are counted anew, so the resumed run is sound up to its third update.
    went_on = python("run.py", f"ckpt={run}", *trusted, "iterations=6", variables={"PYTHONPATH": str(ROOT)})
    assert went_on.returncode == 0, went_on.stderr


@pytest.mark.slow
def test_one_rank_of_fsdp2_is_the_plain_trainer(run_py: RunPy, six_iterations: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", "trainer=fsdp2", "trainer.devices=1")
    assert_same_run(run, six_iterations)


@pytest.mark.slow
def test_a_sharded_checkpoint_is_refused_elsewhere_with_the_cure(on_two_ranks: Path) -> None:
    trusted = [word for word in SETTINGS if "_target_" in word]
    finished = python("run.py", f"ckpt={on_two_ranks}", "iterations=8", "trainer=cpu", *trusted)
    assert finished.returncode == 2
    assert finished.stderr.endswith("resume it with trainer=fsdp2 trainer.devices=1\n")


UNEVEN = (
    "filter._target_=tests.distributed.uneven_filter.KeepEven",
    "schedule=adaptive",
    "schedule.rescale=unit_rms",
    "loss.aggregation=sequence_mean",
    "batching.row_tokens=40",
    "batching.epochs=2",
    "iterations=4",
)
"""In turn: all groups are kept, those of the first rank only, one, none. Everything that is summed over ranks is on."""


@pytest.mark.slow
def test_ranks_with_nothing_left_take_part_all_the_same(run_py: RunPy, tmp_path: Path) -> None:
    one = run_py(tmp_path / "one", *UNEVEN)
    two = run_py(tmp_path / "two", *UNEVEN, *TWO_RANKS)
    assert_same_run(two, one)
    kept = [r["train/groups_kept"] for r in records(one / "metrics.jsonl") if "train/groups_kept" in r]
    assert kept == [8, 4, 1, 0]


def started(run: Path, policy: Path, *overrides: str, command: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A run on two ranks that would go on for ever."""
    settings = [s for s in SETTINGS if not s.startswith("iterations")]
    return subprocess.Popen(
        [
            *(command or (sys.executable,)),
            *("run.py", f"hydra.run.dir={run}", f"model.path={policy}", *settings, "iterations=100000"),
            *(*TWO_RANKS, *overrides),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,
    )


def wait_for_checkpoint(run: Path) -> None:
    deadline = time.monotonic() + 600
    while not run_folder.checkpoints(run):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def other_rank(process: subprocess.Popen[Any]) -> int:
    """The process of rank 1."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (found,) = [pid for pid in map(int, children) if "run.py" in Path(f"/proc/{pid}/cmdline").read_text()]
    return found


def ended(pid: int) -> bool:
    """Whether a process has ended, or is only waited for by its parent."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "rank"), [(signal.SIGTERM, 0), (signal.SIGTERM, 1), (signal.SIGINT, 0)])
def test_a_signal_to_any_rank_ends_the_run_with_a_checkpoint(
    run_py: RunPy, random_policy: Path, tmp_path: Path, sent: signal.Signals, rank: int
) -> None:
    run = tmp_path / "run"
    process = started(run, random_policy)
    wait_for_checkpoint(run)
    os.kill((process.pid, other_rank(process))[rank], sent)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 128 + sent
    last = run_folder.iteration_of(run_folder.checkpoints(run)[-1])
    assert f"stopped by {sent.name} after iteration {last}; go on from iteration {last} with: python run.py" in said
    assert records(run / "prompts.jsonl")[-1]["iteration"] == last
    run_py(run, f"ckpt={run}", f"iterations={last + 1}")
    assert [r["iteration"] for r in records(run / "prompts.jsonl")] == [i for i in range(1, last + 2) for _ in range(8)]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_takes_the_other_down(random_policy: Path, tmp_path: Path, rank: int) -> None:
    run = tmp_path / "run"
    process = started(run, random_policy)
    wait_for_checkpoint(run)
    pids = (process.pid, other_rank(process))
    os.kill(pids[rank], signal.SIGKILL)
    _, said = process.communicate(timeout=600)  # until both have closed the pipe
    assert process.returncode not in (0, 2)
    deadline = time.monotonic() + 600
    while not all(map(ended, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    if rank == 1:
        assert "[rank0]: Traceback" in said
        assert "rank 1 was ended by SIGKILL" in said
    else:  # whichever it finds out first
        assert "[rank1]: Traceback" in said or "rank 1: the process of rank 0 is gone" in said
    assert checkpoints.damage(run_folder.checkpoints(run)[-1]) is None


@pytest.mark.slow
def test_a_rank_that_fails_says_so_itself(random_policy: Path, tmp_path: Path) -> None:
    process = started(tmp_path / "run", random_policy, "filter._target_=tests.distributed.uneven_filter.FailsOnOneRank")
    _, said = process.communicate(timeout=600)
    assert process.returncode == 2
    words = r"filter: FailsOnOneRank raised ZeroDivisionError\('only here'\) \(.*line \d+\)"
    assert re.search(f"^error on rank 1: {words}", said, re.MULTILINE)
    assert re.search(f"^error: rank 1: {words}", said, re.MULTILINE)  # what rank 0 has heard


@pytest.mark.slow
def test_a_rank_that_hangs_ends_the_run_when_the_time_is_up(random_policy: Path, tmp_path: Path) -> None:
    hangs = ("filter._target_=tests.distributed.uneven_filter.HangsOnOneRank", "trainer.strategy.timeout_minutes=0.2")
    process = started(tmp_path / "run", random_policy, *hangs)
    _, said = process.communicate(timeout=600)
    assert process.returncode not in (0, 2)
    assert "rank 1 was still running" in said
    assert "Timed out" in said


@pytest.mark.slow
def test_torchrun_starts_the_same_run(random_policy: Path, on_two_ranks: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    process = started(run, random_policy, "iterations=6", command=torchrun)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert_same_weights(run, on_two_ranks)
    assert records(run / "prompts.jsonl") == records(on_two_ranks / "prompts.jsonl")


@pytest.mark.slow
def test_two_nodes_of_slurm_do_the_same_run(random_policy: Path, on_two_ranks: Path, tmp_path: Path) -> None:
    """Slurm's own variables, as `srun` sets them for two nodes with one task each."""
    run = tmp_path / "run"
    nodes = []
    for node in ("0", "1"):
        variables = {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "rsgrpo", "SLURM_NTASKS": "2", "SLURM_NNODES": "2"}
        variables |= {"SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost", "SLURM_LOCALID": "0"}
        variables |= {"SLURM_NODEID": node, "SLURM_PROCID": node}
        command = ("env", *(f"{name}={value}" for name, value in variables.items()), sys.executable)
        settings = ("trainer.devices=1", "trainer.num_nodes=2", "iterations=6")
        nodes.append(started(run, random_policy, *settings, command=command))
    said = [node.communicate(timeout=600)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert_same_weights(run, on_two_ranks)


@pytest.mark.slow
def test_each_job_of_a_sweep_gets_its_two_ranks(random_policy: Path, on_two_ranks: Path, tmp_path: Path) -> None:
    words = ("run.py", "-m", f"model.path={random_policy}", *SETTINGS, *TWO_RANKS)
    words += (f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir=${hydra.job.num}", "seed=0,1")
    finished = new_process(*words, variables={"PYTHONPATH": str(ROOT)})
    assert finished.returncode == 0, finished.stderr
    assert_same_weights(tmp_path / "0", on_two_ranks)
    assert any(not torch.equal(tensor, weights(tmp_path / "1")[name]) for name, tensor in weights(on_two_ranks).items())


def test_ranks_that_others_started_need_the_name_of_their_folder(random_policy: Path, tmp_path: Path) -> None:
    """Each of them would make a folder of its own, with the second in which it was started in its name."""
    words = (str(ROOT / "run.py"), f"model.path={random_policy}", *SETTINGS, *TWO_RANKS)
    torchrun = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    finished = python(*words, cwd=tmp_path, variables={"PYTHONPATH": str(ROOT)} | torchrun)
    assert finished.returncode == 2
    assert finished.stderr.startswith("error: hydra.run.dir is not set")
    assert list(tmp_path.iterdir()) == []

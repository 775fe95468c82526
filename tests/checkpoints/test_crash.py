"""SIGKILL at random moments and at each step of writing a checkpoint: `ckpt=auto` goes on as if none had been."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rsgrpo import checkpoints, run_folder
from tests.checkpoints.dies_while_saving import DIES_AT
from tests.processes import ROOT, python
from tests.runs import SETTINGS, RunPy, records, without_times
from tests.training.test_run import assert_same_weights

pytestmark = pytest.mark.slow

ADAPTIVE = ("schedule=adaptive", "schedule.hardest=10")
"""A schedule with a state of its own."""


def command(run: Path, policy: Path, *overrides: str) -> list[str]:
    settings = [s for s in SETTINGS if not s.startswith("iterations")]
    return ["run.py", f"hydra.run.dir={run}", "ckpt=auto", f"model.path={policy}", *settings, *ADAPTIVE, *overrides]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def last_iteration(run: Path) -> int:
    saved = run_folder.checkpoints(run)
    return run_folder.iteration_of(saved[-1]) if saved else 0


def assert_same_records(run: Path, reference: Path) -> None:
    assert_same_weights(run, reference)
    for name in ("prompts.jsonl", "rollouts.jsonl", "eval/validation.jsonl", "eval/test.jsonl"):
        assert records(run / name) == records(reference / name), name
    mine, theirs = (without_times(records(folder / "metrics.jsonl")) for folder in (run, reference))
    assert mine == theirs
    left = [path.name for path in (run / "checkpoints").iterdir() if not path.name.startswith("iteration_")]
    assert left == []


@pytest.mark.parametrize(("kills", "ranks"), [(20, 1), (4, 2)])
def test_kills_at_random_moments_change_nothing(
    run_py: RunPy, random_policy: Path, tmp_path: Path, kills: int, ranks: int
) -> None:
    run, moments = tmp_path / "run", random.Random(kills)
    trainer = ("trainer=fsdp2", f"trainer.devices={ranks}") if ranks > 1 else ()
    reached = []
    for kill in range(kills):
        begun, before, process = time.time(), last_iteration(run), None
        try:
            process = subprocess.Popen(
                [sys.executable, *command(run, random_policy, "iterations=100000", *trainer)],
                cwd=ROOT,
                env=ENVIRONMENT,
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            file = run / "metrics.jsonl"  # rewound, or written, when the training is about to begin
            # Every other time it gets on before it is killed, so that there is something to lose.
            while not (last_iteration(run) > before if kill % 2 else file.exists() and file.stat().st_mtime > begun):
                assert process.poll() is None, "the run ended by itself"
                assert time.time() < begun + 120
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 1.5))
            assert process.poll() is None, "the run ended by itself"
        finally:
            if process is not None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        reached.append(last_iteration(run))
    assert reached == sorted(reached)  # nothing that was saved is ever lost
    assert reached[-1] >= kills // 2
    end = f"iterations={reached[-1] + 2}"
    subprocess.run(
        [sys.executable, *command(run, random_policy, end, *trainer)],
        cwd=ROOT,
        env=ENVIRONMENT,
        check=True,
        timeout=300,
    )
    reference = run_py(tmp_path / "reference", *ADAPTIVE, end, *trainer)
    assert_same_records(run, reference)


@pytest.fixture(scope="module")
def three_iterations(run_py: RunPy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_py(tmp_path_factory.mktemp("runs") / "three", *ADAPTIVE, "iterations=3")


@pytest.mark.parametrize("step", DIES_AT)
def test_a_kill_at_any_step_of_writing_a_checkpoint_leaves_the_last_whole_one(
    random_policy: Path, three_iterations: Path, tmp_path: Path, step: str
) -> None:
    run = tmp_path / "run"
    words = command(run, random_policy, "iterations=3")
    killed = python("-m", "tests.checkpoints.dies_while_saving", step, *words[1:], variables={"PYTHONPATH": str(ROOT)})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    saved = last_iteration(run)
    assert saved == (2 if step == "after it has its name" else 1)
    assert checkpoints.damage(run_folder.checkpoint(run, saved)) is None
    finished = python(*words, variables={"PYTHONPATH": str(ROOT)})
    assert finished.returncode == 0, finished.stderr
    assert f"resuming {run} from iteration_{saved:06d}" in finished.stderr
    assert_same_records(run, three_iterations)


@pytest.mark.parametrize(("logger", "every"), [("tensorboard", 9), ("csv", 23)])
def test_a_kill_at_a_file_event_changes_nothing_in_the_whole_folder(logger: str, every: int) -> None:
    """A sample of the table that `python -m tests.checkpoints.kills` prints."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.checkpoints.kills", f"--logger={logger}", f"--every={every}", "--random=2"],
        cwd=ROOT,
        env=ENVIRONMENT,
        timeout=1800,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    lines = [line for line in finished.stdout.splitlines() if line.startswith("| ")]
    assert len(lines) > 4
    assert all(line.endswith("| same |") for line in lines)


def test_a_damaged_checkpoint_is_passed_over_with_a_message(
    run_py: RunPy, random_policy: Path, three_iterations: Path, tmp_path: Path
) -> None:
    run = run_py(tmp_path / "run", *ADAPTIVE, "iterations=2")
    state = run_folder.state_of(run_folder.checkpoint(run, 2))
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(bytes(content))
    run_py(run, f"ckpt={run}", "iterations=3")
    said = (run / "terminal.txt").read_text()
    assert "iteration_000002" in said
    assert "another content than was written" in said
    assert_same_weights(run, three_iterations)
    assert records(run / "prompts.jsonl") == records(three_iterations / "prompts.jsonl")


def test_a_full_disk_ends_the_run_with_a_sentence(random_policy: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writing fails in the same place."""
    run = tmp_path / "run"
    limited = (
        "import resource, runpy, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
        "runpy.run_path('run.py', run_name='__main__')"
    )
    words = command(run, random_policy, "iterations=3")[1:]
    finished = python("-c", limited, *words, variables={"PYTHONPATH": str(ROOT)})
    assert finished.returncode == 2, finished.stderr
    assert f"error: {run_folder.checkpoint(run, 1)} cannot be written" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list((run / "checkpoints").iterdir()) == []

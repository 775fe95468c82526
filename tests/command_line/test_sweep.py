"""Sweeps through `run.py`: a job that fails costs the others nothing, and `ckpt=auto` does what is left."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from rsgrpo import checkpoints, run_folder
from rsgrpo.command_line.sweep import Sweep
from tests.processes import ROOT, python
from tests.runs import SETTINGS

OURS = ("objective.beta", "iterations", "eval.every")
SHORT = (
    *(word for word in SETTINGS if word.partition("=")[0] not in OURS),
    *("iterations=2", "eval.every=100", "callbacks.completions=null"),
)


def run_py(where: Path, policy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`python run.py` with `where` as the working directory."""
    given = (*words, f"model.path={policy}", *SHORT)
    return python(str(ROOT / "run.py"), *given, cwd=where, variables={"PYTHONPATH": str(ROOT)})


FATE = ("+callbacks.fate._target_=tests.sweeps.fates.fate", "+callbacks.fate.seed=${seed}")


@pytest.mark.slow
def test_a_sweep_goes_on_and_is_finished_by_ckpt_auto(random_policy: Path, tmp_path: Path) -> None:
    """One of three jobs fails; then one of the others has been killed, and a sweep of these two does what is left."""
    (tmp_path / "fates.json").write_text(json.dumps({"0": [2, "a bug"]}), encoding="utf-8")
    swept = run_py(tmp_path, random_policy, "-m", "objective.beta=4", "seed=0,1,2", *FATE)
    assert swept.returncode == 2, swept.stderr
    assert "Error executing job" not in swept.stderr
    assert "Traceback" not in swept.stderr
    assert re.findall(r"^job (\d)/3(?:, .* left)?: (seed=\d)$", swept.stderr, re.MULTILINE) == [
        ("1", "seed=0"),
        ("2", "seed=1"),
        ("3", "seed=2"),
    ]
    bad, four, eight = sorted(path for path in (tmp_path / "outputs").glob("*_sweep/*") if path.is_dir())
    assert "error: 1 of 3 jobs failed, numbered from 0 as their folders are:" in swept.stderr
    (named,) = [line for line in swept.stderr.splitlines() if line.startswith("  #")]
    assert named.startswith("  #0 ")
    assert "seed=0" in named
    assert f" ({bad})" in named
    assert [run_folder.finished_iterations(run) for run in (bad, four, eight)] == [None, 2, 2]
    assert len(run_folder.read_json(four.parent / run_folder.COMPARE)["arms"][0]["runs"]) == 2

    weights = (eight / run_folder.POLICY / "model.safetensors").read_bytes()
    (eight / run_folder.DONE).unlink()  # as if it had been killed
    checkpoints.remove_checkpoint(run_folder.checkpoint(eight, 2))
    again = run_py(tmp_path, random_policy, "-m", "seed=1,2", "objective.beta=4", "ckpt=auto")
    assert again.returncode == 0, again.stderr
    assert f"nothing to do: {four} has finished 2 iterations already" in again.stderr
    assert f"resuming {eight} from iteration_000001" in again.stderr
    assert run_folder.read_json(eight / run_folder.DONE)["resumed_from"] == 1
    assert (eight / run_folder.POLICY / "model.safetensors").read_bytes() == weights
    assert sorted((tmp_path / "outputs").glob("*/*")) == sorted([*four.parent.iterdir(), *again_left(tmp_path, four)])

    alone = run_py(tmp_path, random_policy, "seed=1", "objective.beta=4", "ckpt=auto")
    assert alone.returncode == 0, alone.stderr
    assert f"nothing to do: {four}" in alone.stderr


@pytest.mark.slow
def test_a_job_that_a_run_would_refuse_ends_the_sweep_before_it_begins(random_policy: Path, tmp_path: Path) -> None:
    refused = run_py(tmp_path, random_policy, "-m", "objective.beta=4,abc,8")
    assert refused.returncode == 2
    assert re.fullmatch(
        r"error: objective\.beta=abc .*\(job 1: objective\.beta=abc; no job was started\)\n", refused.stderr
    ), refused.stderr
    assert list(tmp_path.iterdir()) == []


def again_left(where: Path, first: Path) -> list[Path]:
    """What the second sweep left beside the folder of the first: no folder of a job."""
    return [path for path in (where / "outputs").glob("*/*") if path.parent != first.parent and path.is_file()]


def test_a_job_in_turn_says_which_it_is_and_how_long_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was finished before; the second takes 70 s, and so will the two that are left."""
    clock = iter([0.0, 0.1, 70.1, 70.1, 140.1, 140.1])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    state = Sweep(swept=["seed=0", "seed=1", "seed=2", ""], finished=[0])
    for number in range(3):
        with state.turn(number):
            pass
    with state.turn(None):
        monkeypatch.setattr("time.monotonic", lambda: 0.0)
    assert capsys.readouterr().err.splitlines() == ["job 1/4: seed=0", "job 2/4: seed=1", "job 3/4, 2 min left: seed=2"]
    assert state.jobs == 4

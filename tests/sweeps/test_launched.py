"""Sweeps that launchers really run: joblib, submitit and Ray on this machine, and submitit's Slurm with a stand-in."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rsgrpo import run_folder
from rsgrpo.sweeps.records import read_record
from rsgrpo.sweeps.supervise import THREADS
from tests.command_line.test_sweep import SHORT
from tests.processes import ROOT, environment_of, new_process
from tests.sweeps.packages import FOLDER, needs_launchers

pytestmark = [pytest.mark.slow, needs_launchers]

THREE = (
    *(word for word in SHORT if not word.startswith(("iterations=", "eval.test_every="))),
    *("iterations=3", "eval.base=false", "objective=grpo"),
    *("+callbacks.fate._target_=tests.sweeps.fates.fate", "+callbacks.fate.seed=${seed}"),
)
PATH = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(FOLDER)])}


def words_of(policy: Path, *words: str) -> tuple[str, ...]:
    return (str(ROOT / "run.py"), "-m", *THREE, f"model.path={policy}", *words)


def sweep(where: Path, policy: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return new_process(*words_of(policy, *words), cwd=where, variables=PATH | variables)


def only_sweep(where: Path) -> Path:
    (found,) = (where / "outputs").iterdir()
    return found


def runs_of(folder: Path) -> list[Path]:
    jobs = run_folder.read_json(folder / run_folder.SWEEP)["jobs"]
    return [Path(job["run"]) for job in jobs]


def process_of(where: Path, seed: int) -> dict[str, Any]:
    return json.loads((where / f"process_{seed}.json").read_text(encoding="utf-8"))


def test_joblib_loses_nothing_to_jobs_that_die_and_the_same_command_does_the_rest(
    random_policy: Path, tmp_path: Path
) -> None:
    """One job is killed after a checkpoint, another raises before it has one, and one ends; then the same command."""
    (tmp_path / "fates.json").write_text(json.dumps({"0": [2, "SIGKILL"], "1": [1, "a bug"]}), encoding="utf-8")
    words = ("launcher=joblib", "launcher.n_jobs=2", "seed=0,1,2")
    first = sweep(tmp_path, random_policy, *words)
    assert first.returncode == 1, first.stderr
    folder = only_sweep(tmp_path)
    runs = runs_of(folder)
    assert [run_folder.finished_iterations(run) for run in runs] == [None, None, 3]
    assert [(read_record(folder, number) or {})["code"] for number in range(3)] == [-9, 2, 0]
    assert "error: 2 of 3 jobs failed" in first.stderr
    assert f"({runs[0]})" in first.stderr
    assert f"failed: {runs[0].name}: ended by SIGKILL" in first.stderr
    assert f"failed: {runs[1].name}: callbacks.fate" in first.stderr
    assert "Traceback" not in first.stderr
    assert "ZeroDivisionError('a bug')" in (runs[1] / run_folder.OUTPUT).read_text(encoding="utf-8")
    assert "job 3/3" in first.stderr
    assert len({process_of(tmp_path, seed)["pid"] for seed in range(3)}) == 3, "each job is a process of its own"
    for seed in range(3):
        place = process_of(tmp_path, seed)
        assert [place[name] for name in ("threads", *THREADS)] == [1, *"1" * len(THREADS)]

    (tmp_path / "fates.json").unlink()
    done = (runs[2] / run_folder.DONE).stat().st_mtime_ns
    second = sweep(tmp_path, random_policy, *words, "ckpt=auto")
    assert second.returncode == 0, second.stderr
    assert only_sweep(tmp_path) == folder, "the same sweep goes on in its folder"
    assert (runs[2] / run_folder.DONE).stat().st_mtime_ns == done
    assert second.stderr.count("finished before") == 1
    assert [run_folder.read_json(run / run_folder.DONE)["resumed_from"] for run in runs] == [1, 0, 0]
    assert len(run_folder.read_json(folder / run_folder.COMPARE)["arms"][0]["runs"]) == 3


def test_ctrl_c_saves_what_runs(random_policy: Path, tmp_path: Path) -> None:
    words = words_of(random_policy, "launcher=joblib", "seed=0,1", "iterations=400")
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=tmp_path,
        env=environment_of(PATH),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while len(list(tmp_path.glob("process_*.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does; the jobs have sessions of their own
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "interrupted" in said
    folder = only_sweep(tmp_path)
    for number, run in enumerate(runs_of(folder)):
        output = (run / run_folder.OUTPUT).read_text(encoding="utf-8")
        assert "stopped by SIGTERM after iteration" in output, output
        assert (read_record(folder, number) or {})["code"] == 143
        assert f"stopped: {run.name}" in said


@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_other_launchers_run_on_this_machine(random_policy: Path, tmp_path: Path, launcher: str) -> None:
    """One of two jobs is killed, and the other is none the wiser."""
    (tmp_path / "fates.json").write_text(json.dumps({"0": [2, "SIGKILL"]}), encoding="utf-8")
    done = sweep(tmp_path, random_policy, f"launcher={launcher}", "seed=0,1")
    assert done.returncode == 1, done.stderr
    killed, finished = runs_of(only_sweep(tmp_path))
    assert [run_folder.finished_iterations(run) for run in (killed, finished)] == [None, 3], done.stderr
    assert f"failed: {killed.name}: ended by SIGKILL" in done.stderr
    assert run_folder.checkpoints(killed) != []
    assert [process_of(tmp_path, seed)["OMP_NUM_THREADS"] for seed in range(2)] == ["1"] * 2


SBATCH = """#!{python}
import os, re, subprocess, sys
file = sys.argv[1]
text = open(file).read()
open("submitted.sh", "w").write(text)
last = int(re.search("--array=0-([0-9]+)", text)[1])
for task in range(last + 1):
    job = {{"SLURM_JOB_ID": str(100 + task), "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": str(task)}}
    job |= {{"SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}}
    job |= {{"SLURM_JOB_NAME": "rsgrpo", "SLURM_NODELIST": "localhost", "SLURM_JOB_NODELIST": "localhost"}}
    out = open(f"slurm_{{task}}.txt", "w")
    subprocess.Popen(["bash", file], env=os.environ | job, stdout=out, stderr=out, start_new_session=True)
print("Submitted batch job 77")
"""
SRUN = """#!{python}
import os, sys
command = sys.argv[1:]
while command[0].startswith("--"):
    command = command[1 if command[0] == "--unbuffered" else 2:]
os.execvp(command[0], command)
"""
SACCT = """#!{python}
print("JobID|State|NodeList")
"""


def test_submitit_hands_the_jobs_to_slurm(random_policy: Path, tmp_path: Path) -> None:
    """Slurm's commands are stand-ins that start what they are given: an array of jobs, each with Slurm's variables."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}.items():
        (commands / name).write_text(text.format(python=sys.executable), encoding="utf-8")
        (commands / name).chmod(0o755)
    (tmp_path / "fates.json").write_text(json.dumps({"1": [2, "SIGKILL"]}), encoding="utf-8")
    settings = ("launcher.partition=gpu", "launcher.timeout_min=90", "trainer.threads=2")
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    done = sweep(tmp_path, random_policy, "launcher=submitit", *settings, "seed=0,1", PATH=path)
    assert done.returncode == 1, done.stderr
    runs = runs_of(only_sweep(tmp_path))
    assert [run_folder.finished_iterations(run) for run in runs] == [3, None], done.stderr
    submitted = (tmp_path / "submitted.sh").read_text(encoding="utf-8")
    for flag in ("--array=0-1%2", "--partition=gpu", "--time=90", "--cpus-per-task=2"):
        assert f"#SBATCH {flag}" in submitted
    assert "gpus" not in submitted

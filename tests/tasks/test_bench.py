"""`python run.py task=bench`: what it refuses, and a whole bench that is killed and goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rsgrpo.bench.records import Records
from tests.processes import ROOT, environment_of, new_process
from tests.tasks.test_audit import run_py

SHORT = (
    *("model=tiny", "iterations=3", "eval.every=3", "eval.test_every=null", "eval.right_answers=true"),
    *("batching.prompts_per_iteration=4", "batching.completions_per_prompt=4", "eval.k=[1]", "eval.cache_dir=null"),
    *("eval.validation_completions=4", "callbacks.checkpoint.every=1", "eval.test_completions=4"),
)
"""What makes a run of a bench short."""

WORDS = (
    *("run.py", "task=bench", "bench=quick", "bench.tasks=[countdown]", "bench.arms=[rs_grpo_4]", "bench.k=2"),
    *("bench.rates=[1e-4,1e-3]", "bench.pairs=[[0,0],[1,1]]", "bench.known=false"),
    f"bench.words=[{','.join(repr(word) for word in SHORT)}]",
    "bench.tuning_words=['eval.base=false','eval.validation_prompts=8','eval.test_completions=1']",
    "bench.reported_words=['eval.validation_prompts=1']",
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["bench.arms=[rs_grpo4]"],
            "bench.arms: there is no arm=rs_grpo4; did you mean rs_grpo_4? There are bound",
        ),
        (["bench.tasks=[pathstar]"], "bench.tasks: there is no data=pathstar; did you mean path_star? There are arith"),
        (["bench.arms=[grpo,nobody]"], "bench.arms: there is no arm=nobody; choose from boundary_gate, "),
        (
            ["bench.tasks=[nothing]"],
            "there is no data=nothing; choose from arithmetic, countdown, countdown4, ",
        ),
        (
            ["bench.tasks=[gsm8k]"],
            "bench: grpo on gsm8k: data=gsm8k has no bases that are pretrained here; ",
        ),
        (
            ['bench.reported_words=["eval.test_completions=32"]'],
            "bench: grpo on countdown: eval.test_completions=32 is less than the 64 that bench.k=32 needs; ",
        ),
        (["bench.pairs=[[0,0],[2,10]]"], "bench.tuning=[[2, 10]] shares [2, 10] with pairs"),
        (["objective=grpo", "bench.own=grpo"], "bench.own=grpo is the name of another arm"),
        (["objective=maxpo", "objective.k=-1", "bench.own=mine"], "bench: mine on countdown: objective.k=-1"),
        (["objective=custom", "objective._target_=no.Such"], "bench: Such on countdown: objective._target_=no.Such"),
        (["bench.words=['iterations=0']"], "bench: grpo on countdown: iterations=0"),
        (["bench.words=['no.such.key=1']"], "bench: grpo on countdown: no.such.key"),
    ],
)
def test_mistakes_are_named_before_the_first_run(tmp_path: Path, words: list[str], said: str) -> None:
    done = run_py(tmp_path, "task=bench", "bench=quick", "bench.tasks=[countdown]", *words)

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert not (tmp_path / "outputs" / "bench" / "runs").exists()


def test_a_bench_has_to_be_chosen_from_those_that_there_are(tmp_path: Path) -> None:
    done = run_py(tmp_path, "task=bench", "bench=huge")

    assert done.returncode == 2
    assert "bench=huge: no such choice; bench is one of full, matched, quick, reproduce, standard" in done.stderr


def _finished(folder: Path, *words: str, timeout: float = 500) -> subprocess.CompletedProcess[str]:
    return new_process(*WORDS, f"hydra.run.dir={folder}", *words, timeout=timeout)


def _kept(folder: Path) -> list[dict[str, Any]]:
    """The records without what depends on the clock, in an order of their own."""
    found = Records(folder / "records").all()
    kept = [{name: getattr(one, name) for name in one.__slots__ if name != "seconds"} for one in found]
    return sorted(kept, key=lambda one: repr([one["arm"], one["base"], one["rate"], one["split"]]))


def _killed_after(folder: Path, number: int) -> None:
    """Start the bench and kill it once it has written down so many runs."""
    command = [sys.executable, *WORDS, f"hydra.run.dir={folder}"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment_of(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ends = time.monotonic() + 400
    while len(Records(folder / "records").all()) < number and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.1)
    assert process.poll() is None, "it ended by itself"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_bench_that_was_killed_twice_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = _finished(tmp_path / "whole")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    for number in (1, 4):
        _killed_after(tmp_path / "killed", number)
    gone_on = _finished(tmp_path / "killed")
    assert gone_on.returncode == 0, gone_on.stdout + gone_on.stderr

    assert len(_kept(tmp_path / "whole")) == 2 * (2 + 2)
    assert _kept(tmp_path / "killed") == _kept(tmp_path / "whole")
    for folder in (tmp_path / "whole", tmp_path / "killed"):
        assert (folder / "leaderboard.html").stat().st_size > 10_000
    assert "rs_grpo_4" in whole.stdout
    assert "auc@2" in whole.stdout
    again = _finished(tmp_path / "killed")
    assert again.returncode == 0
    assert "run 1/" not in again.stderr  # nothing is left to do


OWN = '''
from dataclasses import dataclass

from rsgrpo.objectives.base import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine(Objective):
    """Twice the reward, less its mean."""

    def advantages(self, rewards, context):
        return 2 * (rewards - rewards.mean(dim=1, keepdim=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken(Objective):
    """It raises from the second iteration on, which no check before a run can see."""

    def advantages(self, rewards, context):
        if context.iteration > 1:
            raise RuntimeError("lost its way")
        return rewards - rewards.mean(dim=1, keepdim=True)
'''


@pytest.mark.slow
def test_an_objective_of_ones_own_is_entered_beside_the_others_and_a_failure_stops_none(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    words = (*WORDS, f"hydra.run.dir={tmp_path / 'b'}", "bench.arms=[]", "objective=custom")
    done = new_process(*words, "objective._target_=own.Mine", variables=path, timeout=500)

    assert done.returncode == 0, done.stdout + done.stderr
    assert {one.arm for one in Records(tmp_path / "b" / "records").all()} == {"grpo", "Mine"}
    assert "Mine" in done.stdout

    failed = new_process(*words, "objective._target_=own.Broken", variables=path, timeout=500)

    assert failed.returncode == 2
    assert "runs of the bench failed, countdown_Broken_base" in failed.stderr
    assert "lost its way" in failed.stderr
    assert "lost its way" in next((tmp_path / "b" / "output").glob("countdown_Broken*.txt")).read_text()
    assert "Mine" in failed.stdout  # it is in the table still


@pytest.mark.slow
def test_an_objective_that_refuses_a_task_is_shown_as_not_defined_there(tmp_path: Path) -> None:
    words = [word for word in WORDS if not word.startswith(("bench.tasks", "bench.arms", "bench.pairs", "bench.rates"))]
    graded = ("objective=rspo", "objective.metric=pass_at_k", "objective.k=2", "reward=program_graded")
    bench = ("bench.tasks=[program]", "bench.arms=[]", "bench.pairs=[[0,0]]", "bench.rates=[6e-4]")
    done = new_process(*words, *bench, *graded, f"hydra.run.dir={tmp_path}", timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "not defined here" in done.stdout
    assert "is defined for rewards of 0 and 1 only" in done.stdout

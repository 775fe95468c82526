"""`task=explain`: key, value and source of the run that the other words would start."""

import subprocess
from pathlib import Path

from tests.processes import ROOT, python


def explained(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(str(ROOT / "run.py"), "task=explain", *words, cwd=where)


def test_a_run_that_could_not_start_here_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    done = explained(tmp_path, "model=qwen3_4b", "batching.epochs=2", "task.key=batching", "trainer=gpu")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["batching._target_", "rsgrpo.batching.plan.BatchPlan", "conf/config.yaml"],
        ["batching.prompts_per_iteration", "512", "conf/experiment/base/paper.yaml"],
        ["batching.completions_per_prompt", "16", "conf/experiment/base/paper.yaml"],
        ["batching.prompts_per_update", "32", "conf/experiment/base/paper.yaml"],
        ["batching.epochs", "2", "command", "line"],
        ["batching.row_tokens", "16384", "conf/experiment/base/paper.yaml"],
        ["batching.max_refills", "0", "conf/config.yaml"],
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_users_own_is_named(tmp_path: Path) -> None:
    own = tmp_path / "mine" / "experiment" / "long.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\niterations: 500\n")
    done = explained(tmp_path, "--config-dir=mine", "experiment=long", "task.key=iterations")
    assert done.stdout.split() == ["iterations", "500", "mine/experiment/long.yaml"], done.stderr


def test_a_key_that_the_run_has_not_is_refused(tmp_path: Path) -> None:
    done = explained(tmp_path, "task.key=bacthing")
    assert done.returncode == 2
    assert "error: task.key=bacthing: no such key; did you mean batching?" in done.stderr


def test_what_makes_a_prompt_is_explained(tmp_path: Path) -> None:
    words = ("model=qwen3_4b", "data.system=Hi", "model.chat_template_kwargs.enable_thinking=false")
    lines = [line.split() for line in explained(tmp_path, *words).stdout.splitlines()]
    assert ["data.system", "Hi", "command", "line"] in lines
    assert ["data.few_shot", "null", "conf/config.yaml"] in lines
    assert ["model.chat_template_kwargs.enable_thinking", "false", "command", "line"] in lines

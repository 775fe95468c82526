"""docs/rollouts.md: its engine of one's own does what the page says."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.processes import ROOT, python
from tests.runs import SETTINGS, records

PAGE = (ROOT / "docs" / "rollouts.md").read_text(encoding="utf-8")


def run(folder: Path, policy: Path, change: tuple[str, str] = ("", "")) -> subprocess.CompletedProcess[str]:
    """The command of the page with small settings, and the file that it shows."""
    shown = re.search(r"```python\n(# my_engine\.py\n.*?)```", PAGE, re.DOTALL)
    command = re.search(r"python (run\.py rollout=custom .*)", PAGE)
    assert shown
    assert command
    assert change[0] in shown[1]
    (folder / "my_engine.py").write_text(shown[1].replace(*change), encoding="utf-8")
    small = [f"hydra.run.dir={folder}/run", f"model.path={policy}", *(s for s in SETTINGS if "iterations=" not in s)]
    return python(*shlex.split(command[1]), *small, variables={"PYTHONPATH": f"{folder}:{ROOT}"})


@pytest.mark.slow
def test_the_engine_of_the_page_trains(random_policy: Path, tmp_path: Path) -> None:
    done = run(tmp_path, random_policy)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [r for r in records(tmp_path / "run" / "metrics.jsonl") if "train/logprob_gap" in r]
    assert len(steps) == 2
    assert all(step["train/logprob_gap"] < 1e-4 for step in steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("    def close(self): ...", ""), "has no close; give it all of rsgrpo.rollouts.engine.RolloutEngine"),
        (("range(num_completions)", "range(2)"), "the engine has yielded 2 completions, not 4"),
    ],
)
def test_an_engine_that_lacks_something_is_told_so(
    random_policy: Path, tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    done = run(tmp_path, random_policy, change)
    assert done.returncode != 0
    assert says in done.stderr

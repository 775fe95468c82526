"""docs/tutorial.md: what it shows is what happens, in an empty folder."""

import re
import shlex
from pathlib import Path

import pytest

from tests.processes import ROOT, python

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^    ((?:python|tensorboard) .*)$", re.sub(r" \\\n *", " ", PAGE), re.MULTILINE)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command of the page prints, by its section; they run in the page's order, in one folder."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "mine").mkdir()
    for name, code in FILES.items():
        (folder / "mine" / name).write_text(code, encoding="utf-8")
    return {command: run(folder, command) for command in COMMANDS}


def run(folder: Path, command: str) -> str:
    """The output of a command of the page, typed in `folder` as if it were the repository."""
    program, *words = shlex.split(command)
    words = [re.sub(r"^~", str(folder), word).replace("run.py", str(ROOT / "run.py")) for word in words]
    # TensorBoard itself would serve until it is stopped.
    start = ["-m", "tensorboard.main", "--inspect"] if program == "tensorboard" else []
    done = python(*start, *words, cwd=folder, variables={"PYTHONPATH": str(folder / "mine")}, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def the_one(printed: dict[str, str], words: str) -> str:
    """What the only command with these words has printed."""
    (output,) = (text for command, text in printed.items() if words in command)
    return output


def rows(text: str) -> list[list[str]]:
    """The rows of the tutorial's objective in a table."""
    return [line.split() for line in text.splitlines() if line.split()[:1] == ["Tilted"]]


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_page_shows_two_files_and_six_commands() -> None:
    assert sorted(FILES) == ["side_by_side.py", "tilted.py"]
    assert len(COMMANDS) == 6


def test_the_objective_has_eleven_lines() -> None:
    assert len([line for line in FILES["tilted.py"].splitlines() if line.strip()]) <= 11


def test_the_audit_prints_the_row_that_is_shown(printed: dict[str, str]) -> None:
    (shown,) = rows(section("Audit it"))
    assert shown in rows(the_one(printed, "task=audit"))


def test_in_the_bandit_those_escape_that_are_shown_to(printed: dict[str, str]) -> None:
    shown = rows(section("Play it"))
    assert len(shown) == 4
    assert [row[:3] for row in rows(the_one(printed, "task=bandit"))] == shown


def test_the_runs_stand_side_by_side(printed: dict[str, str]) -> None:
    lines = the_one(printed, "side_by_side.py").splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["outputs/grpo", "outputs/tilted"]
    first, second = ([float(value) for value in re.findall(r"\d\.\d+", line)] for line in lines)
    assert len(first) == len(second) == 5
    assert first[0] == second[0]  # the same base, prompts and seeds
    assert first != second


def test_tensorboard_finds_both_runs(printed: dict[str, str]) -> None:
    inspected = the_one(printed, "tensorboard")
    assert "outputs/grpo/tensorboard" in inspected
    assert "outputs/tilted/tensorboard" in inspected

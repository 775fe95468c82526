"""How the program was started, and how it is started again."""

import sys
from pathlib import Path

import pytest

from rsgrpo.command_line.program import started_again, typed


@pytest.mark.parametrize(
    ("started_as", "command", "again"),
    [
        pytest.param("/usr/bin/rsgrpo", "rsgrpo", ["-P", "-m", "rsgrpo"], id="command"),
        pytest.param("/site/rsgrpo/__main__.py", "rsgrpo", ["-m", "rsgrpo"], id="module"),
        pytest.param("run.py", "python run.py", [str(Path("run.py").resolve())], id="script"),
        pytest.param("/site/pytest/__main__.py", "python run.py", ["/site/pytest/__main__.py"], id="another"),
    ],
)
def test_another_process_is_started_as_this_one_was(
    monkeypatch: pytest.MonkeyPatch, started_as: str, command: str, again: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [started_as, "seed=1"])
    assert typed() == command
    assert started_again() == [sys.executable, *again]

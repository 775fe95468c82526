"""How the program was started, and how it is started again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rsgrpo.command_line.program import started_again, typed
from tests.runs import ROOT


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


@pytest.mark.parametrize("words", [["--help"], ["task=explain"]])
def test_a_reader_that_has_read_enough_is_no_mistake(words: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_a_disk_that_takes_no_output_is_told(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, str(ROOT / "run.py"), "--help"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the output cannot be written (No space left on device)")

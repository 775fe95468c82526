"""The doctor's table: what is said of a check that is ok, that fails, that builds on another, that hangs."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from rsgrpo.doctor.table import Check, Checks, Result

ROOT = Path(__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=3600)


def states(output: str) -> dict[str, str]:
    """The last column of the table by the first."""
    lines = [line.split("  ") for line in output.splitlines() if line.rstrip().endswith(STATES)]
    return {cells[0].strip(): next(cell.strip() for cell in reversed(cells) if cell.strip()) for cells in lines}


STATES = ("ok", "FAILED", "not here", "skipped")


def fail() -> Any:
    raise ValueError("no luck [today]\nand more")


def test_every_row_says_what_came_of_its_check() -> None:
    checks = Checks(title="doctor", seconds=60, limit=60)
    good, bad = (lambda: Result("1", "2")), (lambda: Result("3", "2", False))
    checks.run(
        [
            Check(name="good", run=good),
            Check(name="too much", run=bad, after="good"),
            Check(name="raises", run=fail, cure="try again"),
            Check(name="builds on it", run=good, after="raises"),
            Check(name="goes on", run=good, after="good"),
            Check(name="elsewhere", run=fail, needs="a GPU"),
        ]
    )
    assert checks.failed
    console = Console(record=True, width=200, file=io.StringIO())
    checks.show(console)
    text = console.export_text()
    assert states(text) == {
        "good": "ok",
        "too much": "FAILED",
        "raises": "FAILED",
        "builds on it": "skipped",
        "goes on": "ok",
        "elsewhere": "not here",
    }
    assert "ValueError: no luck [today] " in text
    assert "raises: try again" in text
    assert 'raise ValueError("no luck [today]\\nand more")' in text, "the traceback is below the table"
    assert "2 ok, 2 failed, 1 skipped, 1 not here" in text


def test_what_would_start_too_late_is_skipped() -> None:
    checks = Checks(title="doctor", seconds=0, limit=60)
    checks.run([Check(name="late", run=fail)])
    assert [(row.state, row.measured) for row in checks.rows] == [("skipped", "no time left")]


def test_a_check_that_hangs_ends_the_process_with_its_table() -> None:
    finished = run(
        "-c",
        "import time; from rsgrpo.doctor.table import Check, Checks, limited\n"
        "checks = Checks(title='doctor', seconds=60, limit=0.5)\n"
        "with limited(checks): checks.run([Check(name='hangs', run=lambda: time.sleep(300))])",
    )
    assert finished.returncode == 1
    assert states(finished.stdout) == {"hangs": "FAILED"}
    assert "still running after" in finished.stdout

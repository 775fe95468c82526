"""What a sweep shows: a line for each job that runs, live on a terminal, and elsewhere when something has happened."""

import io
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.sweeps.progress import Watch
from rsgrpo.sweeps.records import write_record


def jobs(sweep: Path) -> list[dict[str, Any]]:
    """Five jobs: finished before, finished, killed, running, and one that waits."""
    described = [{"number": n, "run": str(sweep / f"{n}_grpo"), "iterations": 10} for n in range(5)]
    for job in described[1:4]:
        Path(job["run"]).mkdir()
    (sweep / "3_grpo" / run_folder.METRICS).write_text(
        json.dumps({"iteration": 5, "train/reward_mean": 0.5}) + "\n", encoding="utf-8"
    )
    now = time.time()
    write_record(sweep, 1, {"job": 1, "started": now - 100, "ended": now - 40, "code": 0})
    write_record(sweep, 2, {"job": 2, "started": now - 40, "ended": now - 30, "code": -9})
    write_record(sweep, 3, {"job": 3, "started": now - 30})
    return described


def shown(sweep: Path, *, terminal: bool) -> tuple[Watch, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    return Watch(sweep, jobs(sweep), [0], places=1, console=console), out


def test_what_has_ended_is_said_once_and_what_runs_now_and_then(tmp_path: Path) -> None:
    watch, out = shown(tmp_path, terminal=False)
    watch.show(watch.standings())
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["finished: 1_grpo", "failed: 2_grpo: ended by SIGKILL"]
    assert lines[2].startswith("job 4/5, ")
    assert lines[2].endswith(" left")
    assert lines[3:] == ["  3_grpo  iteration 5/10  reward 0.500"]
    watch.show(watch.standings())
    assert out.getvalue().splitlines() == lines, "nothing has happened since"


def test_a_run_that_was_stopped_has_not_failed(tmp_path: Path) -> None:
    watch, out = shown(tmp_path, terminal=False)
    write_record(tmp_path, 3, {"job": 3, "started": 1.0, "ended": 2.0, "code": 143})
    watch.show(watch.standings())
    assert "stopped: 3_grpo\n" in out.getvalue()


def test_a_terminal_has_lines_that_stay_where_they_are(tmp_path: Path) -> None:
    watch, out = shown(tmp_path, terminal=True)
    with watch:
        watch.show(watch.standings())
        live = out.getvalue()
    assert "iteration 5/10  reward 0.500" in live
    assert "\x1b[" in live, "moved over, not written below one another"
    assert "finished: 1_grpo" in live

"""`task=doctor` of a run that is right, and of one in which three things are wrong."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.processes import ROOT, python

pytestmark = pytest.mark.slow


def rows(folder: Path) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in json.loads((folder / "doctor.json").read_text())["rows"]}


def test_a_run_that_is_right_has_nothing_that_failed(tmp_path: Path) -> None:
    finished = python("run.py", "task=doctor", "task.minutes=60", f"hydra.run.dir={tmp_path / 'doctor'}")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = rows(tmp_path / "doctor")
    assert {row["state"] for row in found.values()} == {"ok", "not here"}
    assert found["resumed = uninterrupted"]["state"] == found["two ranks = one"]["state"] == "ok"
    assert {name for name, row in found.items() if row["state"] == "not here"} >= {"wake", "memory by plan"}
    assert not (tmp_path / "doctor" / "copy").exists()
    assert "failed" in finished.stdout.splitlines()[-1]


def test_what_is_wrong_with_a_run_is_found_and_has_a_cure(tmp_path: Path) -> None:
    words = (
        *("optimizer._target_=tests.doctor.faults.Forgetful", "reward=custom"),
        *("reward._target_=tests.doctor.faults.AlwaysRight", "logger=wandb", "task.minutes=60"),
    )
    finished = python(
        "run.py", "task=doctor", *words, f"hydra.run.dir={tmp_path}/doctor", variables={"PYTHONPATH": str(ROOT)}
    )
    assert finished.returncode == 1, finished.stdout + finished.stderr
    found = rows(tmp_path / "doctor")
    failed = {name for name, row in found.items() if row["state"] == "FAILED"}
    missing = {"this run on this machine"} if find_spec("wandb") is None else set()
    assert failed - missing == {"reward", "resumed = uninterrupted"}
    assert "wandb" in found["this run on this machine"]["measured"] or not missing
    assert all(found[name]["cure"] for name in failed - missing)
    assert "the reward is always true" in finished.stdout

"""A run whose numbers are written down: a change that is not meant to change them must not.

`make golden` writes them anew; the CHANGELOG then says why, under "Numbers that changed".
"""

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest

from tests.runs import records

GOLDEN = Path(__file__).parent / "golden.json"
METRICS = ("train/reward_mean", "train/loss", "train/grad_norm", "train/entropy", "train/advantage_rms")
ITERATIONS = 5


def processor() -> str:
    """The processor's model: sums in another order give other last digits."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "model\t"))]
    return " ".join(sorted(set(named))) or platform.processor()


def curve(run: Path) -> list[dict[str, Any]]:
    metrics = [record for record in records(run / "metrics.jsonl") if "train/reward_mean" in record]
    return [{name: record.get(name) for name in METRICS} for record in metrics[:ITERATIONS]]


def test_the_numbers_are_those_written_down(six_iterations: Path) -> None:
    found = {"processor": processor(), "curve": curve(six_iterations)}
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())
    same_machine = golden["processor"] == found["processor"]
    # Elsewhere rounding differs, and sooner or later a token with it: the first iterations still agree closely.
    compared, tolerance = (ITERATIONS, 1e-6) if same_machine else (2, 1e-4)
    for mine, theirs in zip(found["curve"][:compared], golden["curve"][:compared], strict=True):
        assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance)

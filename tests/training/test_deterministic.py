"""`trainer.deterministic`: PyTorch then refuses kernels that give other bits each time."""

from pathlib import Path

import pytest

from tests.runs import RunPy, records

WATCHED = ("iterations=2", "+callbacks.watched._target_=tests.training.deterministic.enabled")


@pytest.mark.slow
@pytest.mark.parametrize("asked", [True, False])
def test_a_run_is_deterministic_where_it_is_told_to_be(run_py: RunPy, tmp_path: Path, asked: bool) -> None:
    run = run_py(tmp_path / "run", *WATCHED, f"trainer.deterministic={str(asked).lower()}")
    found = [r["train/deterministic"] for r in records(run / "metrics.jsonl") if "train/deterministic" in r]
    assert found == [float(asked)] * 2

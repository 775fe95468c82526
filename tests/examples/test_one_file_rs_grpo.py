"""The flat example runs, and computes what the library computes."""

from pathlib import Path

import torch

from examples.one_file_rs_grpo import advantages
from rsgrpo.models.policy import Policy
from rsgrpo.objectives.rs_grpo import risk_sensitive
from tests.processes import ROOT, python

SCRIPT = ROOT / "examples" / "one_file_rs_grpo.py"


def test_its_advantages_are_the_library_s() -> None:
    rewards = torch.tensor([[0.0, 0.2, 0.5, 1.0], [1.0, 0.0, 0.0, 0.0]])
    for beta in (-2.0, 0.0, 1e-6, 2.0, 1e4):
        torch.testing.assert_close(advantages(rewards, beta), risk_sensitive(rewards, beta))


def test_it_fits_on_a_few_screens() -> None:
    assert len(SCRIPT.read_text().splitlines()) <= 200


def test_it_runs(policy: Policy, tmp_path: Path) -> None:
    policy.save_pretrained(tmp_path)
    finished = python(str(SCRIPT), str(tmp_path), "--iterations", "2", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert [line.split(":")[0] for line in finished.stdout.splitlines()] == ["iteration 1", "iteration 2"]

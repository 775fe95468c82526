"""Every number of vectors.json, which `make_vectors.py` beside it computed from the definitions in 50 digits."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from rsgrpo.measures.pass_at_k import pass_at_k
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.entropic import beta_of_kl
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.subset_max import shortfall
from tests.objectives.cases import NAMES, advantages_of, binary_group, built

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))
SETTINGS_OF_OTHERS = {"dr_grpo", "psr", "nsr"}
"""Yamls that set values of another objective."""
SEE_MORE = {"unlikeliness", "ucpo", "uniqueness", "darling"}
"""Not functions of rewards: their numbers are in the tests of their names."""


def test_no_objective_is_left_out():
    assert {vector["objective"] for vector in VECTORS["advantages"]} == {*NAMES} - SETTINGS_OF_OTHERS - SEE_MORE


@cache
def objectives() -> dict[tuple[str, ...], Objective]:
    wanted = [(vector["objective"], *vector["settings"]) for vector in VECTORS["advantages"]]
    return dict(zip(wanted, built(wanted), strict=True))


@pytest.mark.parametrize("vector", VECTORS["advantages"], ids=lambda v: " ".join([v["objective"], *v["settings"]]))
def test_advantages(vector):
    objective = objectives()[vector["objective"], *vector["settings"]]
    for name, expected in vector["of"].items():
        got = advantages_of(objective, VECTORS["groups"][name]).tolist()
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-13), name


@pytest.mark.parametrize(("n", "correct", "k", "expected"), VECTORS["pass_at_k"])
def test_pass_at_k(n, correct, k, expected):
    assert pass_at_k(n, correct, k) == pytest.approx(expected, abs=1e-13)
    # The mean over a group of the subset maxima that hold each completion is pass@k too, by another road.
    if correct > 0:
        assert 1 - shortfall(binary_group(correct, n), k).mean().item() == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize(("kl", "name", "expected"), VECTORS["beta_of_kl"])
def test_beta_of_kl(kl, name, expected):
    rewards = torch.tensor([VECTORS["groups"][name]], dtype=torch.float64)
    assert beta_of_kl(rewards, float(kl), beta_max=1e6).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("beta", VECTORS["by_number_correct"])
def test_advantages_by_number_correct(beta):
    for correct, expected in enumerate(VECTORS["by_number_correct"][beta], start=1):
        a = advantages_of(RSGRPO(beta=float(beta)), binary_group(correct, 16))[0]
        assert [a[0].item(), a[-1].item()] == pytest.approx(expected, abs=1e-13), correct

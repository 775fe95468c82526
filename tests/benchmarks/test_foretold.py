"""The flow that is laid beside committed runs, and the numbers of docs/objectives.md."""

import re

import numpy as np
import pytest
import torch

from benchmarks.foretold import CLASSES, FLOWS, LOGITS, Classes, P, by_class, flowed, foretold, main, posterior
from rsgrpo.audit.curves import weight_curve
from rsgrpo.audit.flow import accuracies
from rsgrpo.objectives.rs_grpo import RSGRPO
from tests.processes import ROOT


def test_with_a_weight_of_1_the_natural_flow_moves_every_logit_alike() -> None:
    after = flowed(np.ones_like(P), FLOWS["natural"], 1.5)
    inside = LOGITS < 7
    assert after[inside].tolist() == pytest.approx((1 / (1 + np.exp(-(LOGITS + 1.5))))[inside].tolist(), rel=1e-9)


def test_the_plain_flow_is_that_of_the_audit() -> None:
    objective = RSGRPO(beta=4.0)
    weight = weight_curve(objective, torch.from_numpy(P), 16).weight.numpy()
    start = int(np.argmin(np.abs(P - 0.05)))
    expected = accuracies(objective, 16, float(P[start]), [0.0, 5.0, 40.0])[1:]
    got = [flowed(weight, FLOWS["plain"], time)[start] for time in (5.0, 40.0)]
    assert got == pytest.approx(expected.tolist(), rel=1e-3)


def test_it_goes_as_far_as_the_runs_went_and_never_down() -> None:
    sizes = np.array([20] * 65)
    means = np.linspace(0.1, 0.95, len(CLASSES) - 1)
    told = foretold(np.ones_like(P), 0, Classes(sizes=sizes, measured=means, runs=means[None]))
    of_class = by_class(sizes, np.ones(65))
    assert of_class @ told == pytest.approx(of_class @ means, rel=1e-6)
    assert (np.diff(told) > 0).all()


def test_what_64_completions_leave_open() -> None:
    chances = posterior(np.array([10] * 65))  # every count as often: the uniform prior
    means = chances @ P
    assert means.tolist() == pytest.approx([(c + 1) / 66 for c in range(65)], abs=2e-3)


@pytest.mark.slow
def test_the_table_of_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    page = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", page.split("## What the weights foretell")[1], re.MULTILINE)
    assert len(rows) == 8
    blocks = printed.split("path_star")
    for arm, cells in rows:
        shown = [cell.strip() for cell in cells.split("|")]
        for block, numbers in zip(blocks, (shown[:4], shown[4:]), strict=True):
            (line,) = [line for line in block.splitlines() if line.strip().startswith(f"{arm} ")]
            found = [float(number) for number in line.split()[1:]]
            said = [float(number.replace("\N{MINUS SIGN}", "-")) for number in numbers if number]
            assert said == pytest.approx(found, abs=0.0101), arm  # both are rounded, and fitted on any processor

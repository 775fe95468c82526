"""The error that the table of estimators is made of, against its definition."""

from typing import Literal

import pytest
import torch

from benchmarks.rs_grpo_estimators import ACCURACIES, beta_weight, errors
from rsgrpo.audit.curves import weight_curve
from rsgrpo.objectives.rs_grpo import RSGRPO


@pytest.mark.parametrize("estimator", ["plugin", "jackknife"])
def test_it_is_the_smallest_distance_over_all_common_factors(estimator: Literal["plugin", "jackknife"]) -> None:
    curve = weight_curve(RSGRPO(beta=2.0, estimator=estimator), ACCURACIES, 8)
    scale = ACCURACIES * (1 - ACCURACIES)
    true, mean = scale * beta_weight(2.0), scale * curve.weight
    variance = (scale * curve.std).square().sum() * 6 / 32  # 32 prompts, a sixth of them of each accuracy
    factors = torch.linspace(0.01, 3, 20000, dtype=torch.float64)[:, None]
    distances = ((factors * mean - true).square().sum(dim=1) + factors[:, 0] ** 2 * variance).sqrt() / true.norm()
    with_noise, bias = errors(estimator, 2.0, 8, 32)
    assert with_noise == pytest.approx(distances.min().item(), abs=1e-6)
    assert bias == pytest.approx(errors(estimator, 2.0, 8, 10**12)[0], abs=1e-5)
    assert bias < with_noise


def test_the_weight_is_the_derivative_of_the_objective() -> None:
    # J = (1/2) log(1 + p (e^2 - 1)), differentiated by torch.
    p = ACCURACIES.clone().requires_grad_()
    utility = torch.log1p(p * torch.tensor(2.0, dtype=torch.float64).expm1()).sum() / 2
    assert beta_weight(2.0).tolist() == pytest.approx(torch.autograd.grad(utility, p)[0].tolist(), rel=1e-12)

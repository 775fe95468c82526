"""How the accuracy of a prompt moves under an objective: the flow of its expected gradient, without any sampling.

For rewards of 0 and 1 an objective has E[g] = w(p) grad p (`curves.py`). Let one logit x decide between right and
wrong, p = 1 / (1 + exp(-x)), so that grad p = p (1 - p). Plain gradient ascent with small steps then follows

    dx/dt = w(p) p (1 - p),    dp/dt = w(p) [p (1 - p)]^2,    t = learning rate x updates.

This holds for a right answer against one wrong one, as a bandit of two arms of which one logit is trained; where both
are trained, everything is twice as fast. With several wrong answers, dp/dt = w(p) |grad p|^2 depends on how these share
what is left. Prompts that share weights move each other, and Adam divides by the size of the gradient: neither is here.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from torch import Tensor

from rsgrpo.audit.curves import weight_curve
from rsgrpo.objectives.base import Objective

FARTHEST = 9.0
"""Logits at which a flow ends: accuracies of 1.2e-4 and 1 - 1.2e-4."""

POINTS = 361
"""Of the grid of logits on which w is enumerated; a cubic spline connects them."""

TOLERANCE = 1e-9
"""Of the integration, relative and absolute."""

STARTS = (0.05, 0.25)
"""Accuracies from which the audit follows an objective."""

TIMES = tuple(10 ** (i / 20) for i in range(-20, 61))
"""From .1 to 1000, evenly in the logarithm."""


def accuracies(objective: Objective, completions: int, start: float, times: Sequence[float]) -> Float[Tensor, " T"]:
    """p(t) from p(0) = `start`, in groups of N = `completions`, at ascending `times` from 0 on.

    >>> from rsgrpo.objectives.rloo import RLOO
    >>> accuracies(RLOO(), 4, 0.5, [0.0, 16.0])  # w = 1: 1 / (1 - p) - 1 / p + 2 log(p / (1 - p)) = t
    tensor([0.5000, 0.9184], dtype=torch.float64)

    Raises:
        UserError, FieldError: when the objective refuses the rewards or the group size.
    """
    x = torch.linspace(-FARTHEST, FARTHEST, POINTS, dtype=torch.float64)
    p = x.sigmoid()
    rate = CubicSpline(x.numpy(), (weight_curve(objective, p, completions).weight * p * (1 - p)).numpy())

    def along(_: float, logit: Any) -> Any:
        return rate(logit.clip(-FARTHEST, FARTHEST))  # a clamped accuracy need not go on

    begin = math.log(start / (1 - start))
    span = (0.0, max(times))
    found = solve_ivp(along, span, [begin], t_eval=list(times), rtol=TOLERANCE, atol=TOLERANCE, method="LSODA")
    assert found.success, found.message
    return torch.from_numpy(found.y[0]).clamp(-FARTHEST, FARTHEST).sigmoid()


def audit_of_flow(objective: Objective, completions: int) -> dict[str, Any]:
    """`accuracies` from each of `STARTS` at `TIMES`, as plain numbers."""
    paths = {f"{start:g}": accuracies(objective, completions, start, TIMES).tolist() for start in STARTS}
    return {"time": list(TIMES), "accuracy": paths}

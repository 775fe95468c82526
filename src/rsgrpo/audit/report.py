"""All that the audit says of one objective, as one record of plain numbers."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.audit.curves import AccuracyCurve, WeightCurve, accuracy_curve, reward_curve, weight_curve
from rsgrpo.audit.enumeration import advantages_of, claimed_gradient, gradient_moments, outcomes_of
from rsgrpo.audit.several import RIGHT, WRONG, mass_flow
from rsgrpo.errors import OwnCodeFailed, UserError
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.claims import group_chances, multisets

POLICY = (0.5, 0.3, 0.15, 0.05)
"""A small policy whose best outcome is its least likely."""
CONTINUOUS = (0.0, 0.3, 0.7, 1.0)
BINARY = (0.0, 1.0, 0.0, 1.0)

NAMED_ACCURACIES = (0.05, 0.25, 0.5, 0.95)
"""Where the table states weights and biases."""

UNBIASED = 1e-8
"""Relative error below which an expectation counts as equal to the claim, for advantages in float64."""

NEGLIGIBLE_WEIGHT = 1e-12
"""Below this a weight is rounding."""

MOST_GROUPS = 100_000
"""Of several right answers; those of 36 completions have 91,390."""

DENSE = 0.01
"""A dense objective gives every group with 0 < c < N at least this share of its largest sum_i |A_i|."""


def audit(objective: Objective, completions: int) -> dict[str, Any]:
    """Bias, noise, centredness, weights and behaviour at the edges of one objective in groups of N = `completions`.

    Numbers that do not exist are None: the claim of an objective that makes none, continuous rewards where it refuses
    them.

    Raises:
        UserError, FieldError: when the objective refuses groups of this size, or rewards of 0 and 1.
    """
    grid = torch.cat([torch.tensor(NAMED_ACCURACIES), (torch.arange(100) + 0.5) / 100]).double()
    curve, groups = weight_curve(objective, grid, completions), accuracy_curve(objective, completions)
    binary = _bias(objective, BINARY, completions)
    continuous = _continuous(objective, completions)
    named = {f"{p:g}": _at(curve, i) for i, p in enumerate(NAMED_ACCURACIES)}
    shares = [groups.cumulative[c].item() for c in range(1, completions)]
    tolerance = max(part["tolerance"] for part in (binary, continuous) if part is not None)
    lowest = -tolerance * groups.cumulative.max()
    return {
        "settings": _settings(objective),
        "completions": completions,
        "binary": binary,
        "continuous": continuous,
        "at": named,
        "unbiased": {
            "binary": _is_unbiased(binary) and _same(curve.weight, curve.claimed, tolerance),
            "continuous": continuous is not None and _is_unbiased(continuous),
        },
        "centred": max(binary["largest_sum"], (continuous or binary)["largest_sum"]) < tolerance,
        "has_negatives": bool((groups.negative[:-1].min() < lowest) or (groups.positive[1:].min() < lowest)),
        "dense": min(shares) >= DENSE * max(shares) > 0,
        "all_right": _edge(objective, 1.0, completions),
        "all_wrong": _edge(objective, 0.0, completions),
        "weight": {
            "accuracy": _numbers(curve.accuracy[len(NAMED_ACCURACIES) :]),
            "weight": _numbers(curve.weight[len(NAMED_ACCURACIES) :]),
            "claimed": None if curve.claimed is None else _numbers(curve.claimed[len(NAMED_ACCURACIES) :]),
            "std": _numbers(curve.std[len(NAMED_ACCURACIES) :]),
        },
        "several": several(objective, completions),
        "by_accuracy": _curve(groups),
        "by_reward": None if continuous is None else by_reward(objective, completions),
    }


def several(objective: Objective, completions: int) -> dict[str, Any] | None:
    """`mass_flow` on three right answers and two wrong ones, as plain numbers; None where there are too many groups."""
    outcomes = len(RIGHT) + len(WRONG)
    if math.comb(completions + outcomes - 1, outcomes - 1) > MOST_GROUPS:
        return None
    policy = torch.tensor([*RIGHT, *WRONG], dtype=torch.float64)
    right = torch.arange(len(policy)) < len(RIGHT)
    found = mass_flow(objective, policy, right, completions, tried=True)
    return {
        "policy": _numbers(policy),
        "right": len(RIGHT),
        "credit": _numbers(found.credit),
        "flow": _numbers(found.flow),
        "spread": found.spread,
        "noise": found.noise,
        "noise_among_right": found.noise_among_right,
        "noise_among_wrong": found.noise_among_wrong,
    }


def by_reward(objective: Objective, completions: int) -> dict[str, Any]:
    """`reward_curve` as plain numbers."""
    rewards, advantages = reward_curve(objective, completions)
    return {"reward": _numbers(rewards), "advantage": _numbers(advantages)}


def by_accuracy(objective: Objective, completions: int) -> dict[str, Any]:
    """`accuracy_curve` as plain numbers."""
    return _curve(accuracy_curve(objective, completions))


def _continuous(objective: Objective, completions: int) -> dict[str, Any] | None:
    """The bias for continuous rewards; None when the objective is not defined for them."""
    try:
        return _bias(objective, CONTINUOUS, completions)
    except OwnCodeFailed:
        raise
    except UserError:
        return None


def _bias(objective: Objective, rewards: Sequence[float], completions: int) -> dict[str, Any]:
    """E[g] against the gradient of the claim: its component along it as a share, and the cosine of the angle."""
    policy, values = torch.tensor(POLICY, dtype=torch.float64), torch.tensor(rewards, dtype=torch.float64)
    moments = gradient_moments(objective, policy, values, completions)
    claimed = claimed_gradient(objective, policy, values, completions)
    scale = cosine = error = None
    if claimed is not None and claimed.norm() > 0:
        scale = (moments.mean @ claimed / (claimed @ claimed)).item()
        cosine = (moments.mean @ claimed / (moments.mean.norm() * claimed.norm())).item()
        error = ((moments.mean - claimed).norm() / claimed.norm()).item()
    return {
        "mean": _numbers(moments.mean),
        "claimed": None if claimed is None else _numbers(claimed),
        "scale": scale,
        "cosine": cosine,
        "relative_error": error,
        "std": moments.std,
        "noise": _ratio(moments.std, moments.mean.norm().item()),
        "largest_sum": moments.largest_sum,
        "tolerance": max(UNBIASED, 100 * moments.resolution),
    }


def _at(curve: WeightCurve, i: int) -> dict[str, float | None]:
    weight, std = curve.weight[i].item(), curve.std[i].item()
    claimed = None if curve.claimed is None else curve.claimed[i].item()
    return {
        "weight": weight,
        "claimed": claimed,
        # Both may be too small to be told from rounding: best_of_n claims N (1-p)^(N-1).
        "scale": None if claimed is None or abs(claimed) < NEGLIGIBLE_WEIGHT else weight / claimed,
        "std": std,
        "noise": _ratio(std, abs(weight)),
        "noise_many_wrong": curve.noise[i].item() if abs(weight) > NEGLIGIBLE_WEIGHT else None,
        "effective": None if math.isnan(curve.effective[i]) else curve.effective[i].item(),
        "rms": curve.rms[i].item(),
    }


def _edge(objective: Objective, reward: float, completions: int) -> dict[str, float]:
    """Advantages in a group whose completions all have this reward: their mean, and their mean size.

    Drawn from the policy's two outcomes with that reward, since an objective may tell them apart, by their likelihood
    or as two answers.
    """
    policy = torch.tensor([p for p, r in zip(POLICY, BINARY, strict=True) if r == reward], dtype=torch.float64)
    counts = multisets(len(policy), completions)
    chances = group_chances(counts.double(), policy)
    chances = chances / chances.sum()
    likelihood = policy.log()[outcomes_of(counts)]
    rewards = torch.full_like(likelihood, reward)
    advantages = advantages_of(objective, rewards, likelihood, answers=outcomes_of(counts))
    return {"mean": (chances @ advantages.mean(dim=1)).item(), "size": (chances @ advantages.abs().mean(dim=1)).item()}


def _is_unbiased(bias: dict[str, Any]) -> bool:
    return bias["relative_error"] is not None and bias["relative_error"] < bias["tolerance"]


def _same(weight: Float[Tensor, " G"], claimed: Float[Tensor, " G"] | None, tolerance: float) -> bool:
    return claimed is not None and bool((weight - claimed).abs().max() < tolerance * claimed.abs().max())


def _settings(objective: Objective) -> dict[str, Any]:
    if not dataclasses.is_dataclass(objective):
        return {}
    return {spec.name: getattr(objective, spec.name) for spec in dataclasses.fields(objective)}


def _curve(curve: AccuracyCurve) -> dict[str, Any]:
    return {name: _numbers(getattr(curve, name)) for name in ("correct", "positive", "negative", "cumulative")}


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _numbers(values: Float[Tensor, " _"]) -> list[float | None]:
    """Plain numbers; None for nan, which JSON does not have."""
    return [None if math.isnan(v) else v for v in values.tolist()]

"""What estimators of the KL divergence do in expectation: their values and gradients, in the loss and in the reward."""

from collections.abc import Sequence
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.terms.kl import Estimator, kl_estimate

POLICY = (0.5, 0.3, 0.15, 0.05)
REFERENCE = (0.25, 0.25, 0.25, 0.25)
"""A policy that has sharpened around its best outcome, and where it began."""


def audit_of_kl(policy: Sequence[float] = POLICY, reference: Sequence[float] = REFERENCE) -> dict[str, Any]:
    """Every estimator in both places, for one token drawn from `policy`, against KL(policy || reference).

    In the loss the gradient estimate is grad k(y), in the reward it is k(y) grad log pi(y). Each is compared with the
    gradient of KL(policy || reference) by the logits, `along` it as a share and by the cosine of the angle, and so is
    that of KL(reference || policy), which is what k3 follows in the loss.
    """
    pi, began = (torch.tensor(values, dtype=torch.float64) for values in (policy, reference))
    kl, gradient = _kl(pi.log(), began.log(), forward=False)
    _, other = _kl(pi.log(), began.log(), forward=True)
    rows = [
        {"estimator": estimator, "place": place, **_row(estimator, place, pi, began, kl, gradient)}
        for place in ("loss", "reward")
        for estimator in get_args(Estimator)
    ]
    return {
        "policy": list(policy),
        "reference": list(reference),
        "kl": kl,
        "gradient": gradient.tolist(),
        "other_gradient": other.tolist(),
        "other_way_round": _against(other, gradient),
        "estimators": rows,
    }


def _kl(logits: Float[Tensor, " M"], began: Float[Tensor, " M"], *, forward: bool) -> tuple[float, Float[Tensor, " M"]]:
    """KL(policy || reference), or with `forward` the other way round, and its gradient by the logits of the policy."""
    logits = logits.clone().requires_grad_()
    logprobs = logits.log_softmax(0)
    difference = logprobs - began
    value = -(began.exp() * difference).sum() if forward else (logprobs.exp() * difference).sum()
    return value.item(), torch.autograd.grad(value, logits)[0]


def _row(
    estimator: Estimator,
    place: str,
    pi: Float[Tensor, " M"],
    began: Float[Tensor, " M"],
    kl: float,
    gradient: Float[Tensor, " M"],
) -> dict[str, Any]:
    logits = pi.log().requires_grad_()
    logprobs = logits.log_softmax(0)
    k = kl_estimate(logprobs - began.log(), estimator)
    of_loss = torch.stack([torch.autograd.grad(value, logits, retain_graph=True)[0] for value in k])
    scores = torch.eye(len(pi), dtype=pi.dtype) - pi
    gradients = of_loss if place == "loss" else k.detach()[:, None] * scores
    mean = pi @ gradients
    spread = (pi @ (gradients - mean).square().sum(dim=1)).sqrt().item()
    return {
        "value": (pi @ k.detach()).item() / kl,
        "mean": mean.tolist(),
        **_against(mean, gradient),
        "noise": spread / gradient.norm().item(),
    }


def _against(mean: Float[Tensor, " M"], gradient: Float[Tensor, " M"]) -> dict[str, float | None]:
    """The component along a gradient as a share of it, and the cosine; no angle for a mean of 0."""
    size = mean.norm().item()
    if size < 1e-12:
        return {"along": 0.0, "cosine": None}
    return {
        "along": (mean @ gradient / (gradient @ gradient)).item(),
        "cosine": (mean @ gradient / (size * gradient.norm())).item(),
    }

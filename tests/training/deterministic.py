"""A metric that says whether PyTorch keeps to deterministic kernels."""

import torch

from rsgrpo.types import StepReport


def enabled(report: StepReport) -> dict[str, float]:
    return {"deterministic": float(torch.are_deterministic_algorithms_enabled())}

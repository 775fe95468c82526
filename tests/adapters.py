"""Policies with adapters that do something."""

import torch

from rsgrpo.models.lora import LoRA
from rsgrpo.models.policy import Policy


def add_random_adapters(policy: Policy, lora: LoRA | None = None) -> None:
    """Adapters as they might be after training, of the size of the random weights beside them."""
    policy.add_adapters(lora or LoRA(rank=4, alpha=8), seed=0)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))

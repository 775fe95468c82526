"""Which device the trainer is on, and what `auto` means there."""

import torch
from omegaconf import DictConfig


def is_on_gpu(cfg: DictConfig) -> bool:
    """Whether the policy is trained on a GPU."""
    chosen = cfg.trainer.accelerator
    return chosen in ("gpu", "cuda") or (chosen == "auto" and torch.cuda.is_available())


def precision_of(cfg: DictConfig) -> str:
    """`trainer.precision`, where `auto` is bfloat16 compute on GPUs and float32 on the CPU."""
    precision = cfg.trainer.precision
    if precision == "auto":
        return "bf16-mixed" if is_on_gpu(cfg) else "32-true"
    return precision


def checkpoints_activations(cfg: DictConfig) -> bool:
    """`trainer.activation_checkpointing`, where `auto` is yes on GPUs: memory is what a GPU is short of."""
    chosen = cfg.trainer.activation_checkpointing
    return is_on_gpu(cfg) if chosen == "auto" else chosen

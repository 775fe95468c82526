"""What the arithmetic of a plan takes: the settings of a run that change its memory or its time, and nothing else."""

from dataclasses import dataclass
from typing import Literal

import torch

from rsgrpo.models.lora import LoRA

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The resolved keys of a configuration; `None` where a key is `auto` and the plan is what decides (`resolved`)."""

    gpu_gib: float
    """Of each GPU, see `usable`; on the CPU, the share of a process in the machine's memory."""
    gpus: int
    """Of all nodes; on the CPU, processes."""
    taken_gib: float = 0.0
    """Of each GPU, by other processes."""
    on_gpu: bool = True
    sharded: bool = False
    """Weights, gradients and optimiser state over all processes, by FSDP2."""
    half_compute: bool = True
    """bfloat16 compute, by autocast or, sharded, with gathered weights in bfloat16."""
    checkpointing: bool = True
    weights: Literal["float32", "bfloat16"] = "float32"
    offload_optimizer: bool | None = False
    cpu_offload: bool = False
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    fused: bool = True
    lora: LoRA | None = None
    chunk_tokens: int = 2048
    row_tokens: int = 16_384
    prompt_tokens: int = 1024
    new_tokens: int = 8192
    mean_tokens: float = 2048.0
    """Of a completion, assumed."""
    completions: int = 8192
    """Of an iteration."""
    per_group: int = 16
    reference: bool = False
    """Whether a frozen copy of the policy is held beside it."""
    entropy_gradient: bool = False
    engine: Literal["hf", "vllm", "other"] = "vllm"
    half_engine: bool = True
    """bfloat16 weights and cache in vLLM."""
    max_rows: int = 512
    max_tokens: int = 9216
    """Longest prompt plus completion that the engine takes."""
    prefill_tokens: int = 32_768
    kv_cache_gib: float | None = None
    gpu_memory_share: float = 0.6
    tensor_parallel_size: int = 1
    graphs: bool = True
    sleep: bool | None = True

    @property
    def weight_type(self) -> torch.dtype:
        """Of trained weights, their gradients, and the moments of `optimizer=adamw`."""
        return torch.float32 if self.weights == "float32" else torch.bfloat16

    @property
    def base_type(self) -> torch.dtype:
        """Of frozen weights."""
        return torch.bfloat16 if self.lora is not None and self.lora.base_dtype == "bfloat16" else torch.float32

    @property
    def compute_type(self) -> torch.dtype:
        """Of what is multiplied."""
        return torch.bfloat16 if self.half_compute else self.weight_type

    @property
    def shards(self) -> int:
        """Over how many processes the policy is laid out."""
        return self.gpus if self.sharded else 1

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence of a training row."""
        return self.prompt_tokens + self.new_tokens

    @property
    def usable(self) -> float:
        """Bytes of a GPU that the plan fills at most.

        A card that is sold with 80 GB shows 79.1 to 79.6 GiB, one with 24 GB 23.6 to 24.0, and its driver and screen
        have a share in that: 1.5 % of `gpu_gib` are left alone.
        """
        return (self.gpu_gib * 0.985 - self.taken_gib) * GIB

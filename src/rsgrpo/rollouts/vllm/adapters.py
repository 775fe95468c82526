"""LoRA adapters that vLLM gets as adapters: the frozen weights go to it once, and nothing is merged into them."""

import json
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from rsgrpo.errors import FieldError
from rsgrpo.models.lora import AdapterShape
from rsgrpo.models.policy import Policy

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""vLLM's buffers have one of these ranks; a smaller adapter is filled up with zeros."""

NUMBER, NAME = 1, "policy"
"""Of the one adapter, as vLLM knows it."""

IN_MEMORY = Path("/dev/shm")
"""Where vLLM reads them from; a machine without it uses its temporary folder."""

PEFTS = "base_model.model."
"""What names in an adapter's file begin with."""


def shape_of(policy: Policy) -> AdapterShape:
    """What the policy's adapters are.

    Raises:
        FieldError: when it has none, or larger ones than vLLM takes.
    """
    shape = policy.adapter_shape()
    if shape is None:
        raise FieldError("adapter", True, "needs a policy with LoRA adapters", "try adapter=False")
    if shape.rank > RANKS[-1]:
        raise FieldError(
            "adapter",
            True,
            f"cannot send adapters of rank {shape.rank}, as vLLM takes {RANKS[-1]}",
            "try adapter=False",
        )
    return shape


def settings(shape: AdapterShape) -> dict[str, Any]:
    """vLLM's, for one adapter of this shape."""
    return {
        "enable_lora": True,
        "max_loras": 1,
        "max_cpu_loras": 1,
        "max_lora_rank": next(rank for rank in RANKS if rank >= shape.rank),
        "lora_target_modules": list(shape.layers),
    }


def give(llm: Any, shape: AdapterShape, adapter: dict[str, Tensor]) -> None:
    """Replace vLLM's adapter by one of these tensors, which vLLM reads from a file in memory.

    Raises:
        RuntimeError: when vLLM does not take it, or has no layer for a part of it, which vLLM itself passes over.
    """
    in_memory = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        tensors = {PEFTS + name: tensor.detach().contiguous() for name, tensor in adapter.items()}
        save_file(tensors, Path(folder) / "adapter_model.safetensors")
        described = {"r": shape.rank, "lora_alpha": shape.alpha, "target_modules": list(shape.layers), "bias": "none"}
        (Path(folder) / "adapter_config.json").write_text(json.dumps(described), encoding="utf-8")
        llm.llm_engine.remove_lora(NUMBER)
        if not llm.llm_engine.add_lora(request(folder)):
            raise RuntimeError("vLLM did not take the policy's adapters")
    (layers,) = llm.collective_rpc(adapted)
    if missing := {name.partition(".lora_")[0] for name in adapter} - layers:
        raise RuntimeError(f"vLLM has no adapters for {sorted(missing)}")


def request(folder: str) -> Any:
    """vLLM's record of the adapter: with every completion that is asked for, when `folder` is no longer read."""
    from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

    return LoRARequest(NAME, NUMBER, folder)


def adapted(worker: Any) -> set[str]:
    """Runs in vLLM's worker: the layers that have adapters, by Hugging Face names; those that it joins one by one."""
    manager = worker.model_runner.lora_manager._adapter_manager
    return {part for name in manager.modules for part in manager.packed_modules.get(name, [name])}

"""What a plan reads of a configuration: the one place where the arithmetic of `planning/` meets the keys."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf

from rsgrpo.composition.build import build_as
from rsgrpo.composition.policy import base_recipe, build_lora
from rsgrpo.fields import check_fields
from rsgrpo.models.tiny import build_tokenizer, model_config
from rsgrpo.planning.architecture import Architecture, architecture_of
from rsgrpo.planning.duration import TEST_PROBLEMS, Work
from rsgrpo.planning.settings import GIB, Settings
from rsgrpo.training.optimizer import AdamW, AdamW8bit
from rsgrpo.training.recipe import Recipe

ASSUMED_GIB = 80.0
"""Of a GPU, where there is none and `plan.gpu_gib` is not set."""

ASSUMED_PROMPT = 1024
"""Tokens of the longest prompt where `data.max_prompt_tokens` is not set."""

ENGINES: Mapping[str, Literal["hf", "vllm"]] = {
    "rsgrpo.rollouts.hf.HFEngine": "hf",
    "rsgrpo.rollouts.vllm.VLLMEngine": "vllm",
}

OWN_CONTEXT_GIB = 0.5
"""What asking a GPU for its free memory takes itself, at most."""


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """`plan` of task=plan.

    Raises:
        FieldError: for a value that is not of its type.
    """

    gpu_gib: float | None = None
    gpus: int | None = None
    completion_tokens: float | None = None
    tflops: float | None = None
    decode_tokens_per_s: float | None = None

    def __post_init__(self) -> None:
        positive = ("gpu_gib", "completion_tokens", "tflops", "decode_tokens_per_s")
        check_fields(self, gpus=(1, 4096), **{name: (1e-6, math.inf) for name in positive})


def architecture_in(cfg: DictConfig) -> Architecture:
    """Of `model.path`, or of the base that `model.pretrain` describes.

    Raises:
        UserError: for a model whose configuration is nowhere.
    """
    if cfg.model.path is not None:
        return architecture_of(str(cfg.model.path))
    made = base_recipe(cfg)
    config = model_config(build_tokenizer(), hidden_size=made.hidden_size, num_layers=made.num_layers)
    return Architecture(config, "model.pretrain")


def settings_of(cfg: DictConfig, recipe: Recipe, architecture: Architecture) -> Settings:
    """The one place that reads the configuration for the arithmetic; an `auto` that the plan decides is None."""
    plan = build_as(cfg, "plan", PlanSettings) if "plan" in cfg else PlanSettings()
    trainer, rollout, lora = cfg.trainer, cfg.rollout, build_lora(cfg)
    on_gpu = trainer.accelerator in ("gpu", "cuda") or (
        trainer.accelerator == "auto" and ("plan" in cfg or torch.cuda.is_available())
    )
    if lora is not None and lora.base_dtype is None and on_gpu:
        lora = replace(lora, base_dtype="bfloat16")
    gpus = plan.gpus or processes(cfg)
    sharded = trainer.get("strategy") is not None or gpus > 1
    precision = str(trainer.precision)
    new, longest = int(cfg.sampling.max_new_tokens), int(architecture.config.max_position_embeddings)
    prompt = int(cfg.data.get("max_prompt_tokens") or min(ASSUMED_PROMPT, max(1, longest - new)))
    engine: Literal["hf", "vllm", "other"] = ENGINES.get(str(rollout.get("_target_")), "other")  # pyright: ignore[reportAssignmentType]
    gpu_gib, taken = (plan.gpu_gib, 0.0) if plan.gpu_gib else gpu_here(cfg) or (ASSUMED_GIB, 0.0)
    if not on_gpu:
        gpu_gib, taken = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB / gpus, 0.0
    return Settings(
        gpu_gib=gpu_gib,
        taken_gib=taken,
        gpus=gpus,
        on_gpu=on_gpu,
        sharded=sharded,
        half_compute=precision.startswith("bf16") or (precision == "auto" and on_gpu),
        checkpointing=_auto(trainer.activation_checkpointing, on_gpu),
        weights="bfloat16" if precision == "bf16-true" else trainer.weights,
        offload_optimizer=None if trainer.offload_optimizer == "auto" else trainer.offload_optimizer,
        cpu_offload=trainer.cpu_offload,
        optimizer="adamw8bit" if isinstance(recipe.optimizer, AdamW8bit) else "adamw",
        fused=isinstance(recipe.optimizer, AdamW) and _auto(recipe.optimizer.fused, on_gpu),
        lora=lora,
        chunk_tokens=int(cfg.model.chunk_tokens),
        row_tokens=recipe.batching.row_tokens,
        prompt_tokens=prompt,
        new_tokens=new,
        mean_tokens=plan.completion_tokens or new / 4,
        completions=recipe.batching.prompts_per_iteration * recipe.batching.completions_per_prompt,
        per_group=recipe.batching.completions_per_prompt,
        reference=recipe.needs_reference and lora is None,
        entropy_gradient=recipe.loss.entropy_gradient or any(t.entropy_gradient for t in recipe.terms.values()),
        engine=engine,
        half_engine=rollout.get("dtype", "auto") == "bfloat16" or (rollout.get("dtype", "auto") == "auto" and on_gpu),
        max_rows=int(rollout.get("max_rows", 512)),
        max_tokens=int(rollout.get("max_tokens") or prompt + new),
        prefill_tokens=int(rollout.get("prefill_tokens", 32_768)),
        kv_cache_gib=rollout.get("kv_cache_gib"),
        gpu_memory_share=float(rollout.get("gpu_memory_share", 0.6)),
        tensor_parallel_size=int(rollout.get("tensor_parallel_size", 1)),
        graphs=not _auto(rollout.get("enforce_eager", True), not on_gpu),
        sleep=_sleeps(rollout.get("sleep", "auto"), on_gpu) if engine == "vllm" else True,
    )


def _auto(value: Any, decided: bool) -> bool:
    return decided if value == "auto" else bool(value)


def _sleeps(chosen: bool | str, on_gpu: bool) -> bool | None:
    """On the CPU an engine never does."""
    if not on_gpu:
        return False
    return None if chosen == "auto" else bool(chosen)


def processes(cfg: DictConfig) -> int:
    """`trainer.devices` on `trainer.num_nodes`; `auto` is one for each GPU that is here, and at least one."""
    devices = cfg.trainer.devices
    if OmegaConf.is_list(devices):
        here = len(devices)
    else:
        here = max(1, torch.cuda.device_count()) if devices == "auto" else int(devices)
    return here * int(cfg.trainer.get("num_nodes", 1))


def gpu_here(cfg: DictConfig) -> tuple[float, float] | None:
    """(GiB, GiB that others have taken) of the GPU that this process will use; None without one, or on the CPU."""
    if cfg.trainer.accelerator == "cpu" or not torch.cuda.is_available():
        return None
    place = int(os.environ.get("LOCAL_RANK", "0"))
    devices = cfg.trainer.devices
    index = int(devices[place % len(devices)]) if OmegaConf.is_list(devices) else place % torch.cuda.device_count()
    free, total = torch.cuda.mem_get_info(index)
    return total / GIB, max(0.0, (total - free) / GIB - OWN_CONTEXT_GIB)


def work_of(cfg: DictConfig, recipe: Recipe) -> tuple[Work, tuple[str, ...]]:
    """What the run does, as far as its time depends on it, and the names of the test sets whose size is not known."""
    plan, batching = recipe.evaluation, recipe.batching
    rates = build_as(cfg, "plan", PlanSettings) if "plan" in cfg else PlanSettings()
    updates = batching.updates_per_epoch * batching.epochs
    names = [str(name) for name in cfg.data.get("tests") or {}]

    def of_a_test(curve: bool) -> int:
        return sum(plan.completions_for("test", n, curve=curve) * TEST_PROBLEMS.get(n, 0) for n in names)

    tests = sum(plan.is_due("test", i, recipe.iterations) for i in range(1, recipe.iterations + 1))
    validations = recipe.iterations // plan.every + plan.base
    held_out = int(cfg.data.get("validation") or 0)
    problems = held_out if plan.validation_prompts is None else min(held_out, plan.validation_prompts)
    return (
        Work(
            iterations=recipe.iterations,
            updates=updates,
            epochs=batching.epochs,
            old_logprobs=updates > 1 or not recipe.shaping.off,
            validation_completions=validations * problems * plan.completions_for("validation", None),
            test_completions=(1 + plan.base) * of_a_test(False) + tests * of_a_test(True),
            tflops=rates.tflops,
            decode_tokens_per_s=rates.decode_tokens_per_s,
        ),
        tuple(name for name in names if name not in TEST_PROBLEMS),
    )

"""The plan of a configuration: its memory, its time and its disk, for `task=plan` and for the start of a run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from omegaconf import DictConfig, OmegaConf

from rsgrpo.composition.build import build_as
from rsgrpo.composition.callbacks import build_callbacks
from rsgrpo.composition.disk import DiskUse, disk_use
from rsgrpo.composition.policy import base_recipe, build_lora
from rsgrpo.composition.settings import PlanSettings
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError
from rsgrpo.models.tiny import build_tokenizer, model_config
from rsgrpo.planning.architecture import Architecture, architecture_of
from rsgrpo.planning.cures import Advice, advice, resolved
from rsgrpo.planning.duration import TEST_PROBLEMS, TimePlan, Work, plan_time
from rsgrpo.planning.memory import MemoryPlan, plan_memory
from rsgrpo.planning.row_trace import Way, policy_of
from rsgrpo.planning.settings import GIB, Settings
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is said of a run before it starts."""

    architecture: Architecture
    memory: MemoryPlan
    """With every `auto` decided."""
    time: TimePlan
    disk: DiskUse
    untold: tuple[str, ...] = ()
    """Test sets whose size is not known before they are read."""

    def advice(self) -> Advice:
        """What to turn; for a plan that does not fit."""
        return advice(self.architecture, self.memory.settings)


def plan_of(cfg: DictConfig, recipe: Recipe) -> Plan:
    """The plan of the run that `cfg` describes.

    Raises:
        UserError: for a model whose configuration is nowhere.
    """
    architecture = architecture_in(cfg)
    memory = plan_memory(architecture, resolved(architecture, settings_of(cfg, recipe, architecture)))
    work, untold = _work_of(cfg, recipe)
    time = plan_time(
        architecture,
        memory.settings,
        work,
        parameters=memory.parameters,
        trained=memory.trained,
        optimizer_bytes=memory.host,
    )
    return Plan(
        architecture=architecture, memory=memory, time=time, disk=_disk_of(cfg, recipe, architecture), untold=untold
    )


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
        weights=trainer.get("weights", "bfloat16" if precision == "bf16-true" else "float32"),
        offload_optimizer=_undecided(trainer.get("offload_optimizer", False)),
        cpu_offload=bool(trainer.get("cpu_offload", False)),
        optimizer="adamw8bit" if "8bit" in str(cfg.optimizer._target_) else "adamw",
        fused=_auto(cfg.optimizer.get("fused", False), on_gpu),
        lora=lora,
        base=_base_type(cfg, on_gpu),
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
        sleep=_undecided(rollout.get("sleep", True)) if engine == "vllm" else True,
    )


def _auto(value: Any, decided: bool) -> bool:
    return decided if value == "auto" else bool(value)


def _undecided(value: Any) -> bool | None:
    return None if value == "auto" else bool(value)


def _base_type(cfg: DictConfig, on_gpu: bool) -> Literal["float32", "bfloat16"]:
    chosen = (cfg.model.lora or {}).get("base_dtype", "float32")
    return cast(Any, ("bfloat16" if on_gpu else "float32") if chosen == "auto" else chosen or "float32")


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


def _work_of(cfg: DictConfig, recipe: Recipe) -> tuple[Work, tuple[str, ...]]:
    """What the run does, and the names of the test sets whose size is not known."""
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
            old_logprobs=updates > 1,
            validation_completions=validations * problems * plan.completions_for("validation", None),
            test_completions=(1 + plan.base) * of_a_test(False) + tests * of_a_test(True),
            tflops=rates.tflops,
            decode_tokens_per_s=rates.decode_tokens_per_s,
        ),
        tuple(name for name in names if name not in TEST_PROBLEMS),
    )


def _disk_of(cfg: DictConfig, recipe: Recipe, architecture: Architecture) -> DiskUse:
    with torch.device("meta"):
        way = Way(tokens=1, sequences=1, chunk_tokens=1, checkpointing=False, lora=build_lora(cfg))
        policy = policy_of(architecture.build(), way)
    return disk_use(policy, recipe, build_callbacks(cfg, recipe))


def check_memory(cfg: DictConfig, recipe: Recipe) -> Settings | None:
    """On a GPU, say what a run will take of it, and refuse one that cannot fit before its weights are read.

    Returns:
        The settings, with what is `auto` decided; None where no GPU is used.

    Raises:
        UserError: naming the largest phase, what it needs, what there is, and the cure.
    """
    if gpu_here(cfg) is None:
        return None
    architecture = architecture_in(cfg)
    memory = plan_memory(architecture, resolved(architecture, settings_of(cfg, recipe, architecture)))
    for line in in_lines(memory):
        say(line)
    if memory.fits or not cfg.trainer.get("check_memory", True):
        return memory.settings
    raise UserError(
        f"{refusal(memory, advice(architecture, memory.settings))}; task=plan shows all of it, and "
        "trainer.check_memory=false starts the run all the same"
    )


def in_lines(memory: MemoryPlan) -> list[str]:
    """A line on the phases, and one on the engine's cache."""
    phases = ", ".join(f"{name} {phase.total / GIB:.1f}" for name, phase in memory.phases.items())
    lines = [f"memory      GiB of each GPU, by plan: {phases}; of {memory.settings.usable / GIB:.1f}"]
    if memory.cache is not None:
        lines.append(
            f"cache       {memory.cache.tokens:,} tokens in {memory.cache.bytes / GIB:.1f} GiB: {memory.cache.rows} of "
            "the longest completions side by side"
        )
    return lines


def refusal(memory: MemoryPlan, advised: Advice) -> str:
    """Why a run does not fit, and the cure, in one sentence."""
    usable = memory.settings.usable / GIB
    if memory.excess > 0:
        phase = memory.phases[memory.largest]
        why = (
            f"by its plan the run does not fit: {memory.largest} needs {phase.total / GIB:.1f} GiB of each GPU "
            f"({phase.largest_part} {phase.parts[phase.largest_part] / GIB:.1f}), and {usable:.1f} can be used"
        )
    else:
        assert memory.cache is not None
        why = (
            f"by its plan the run does not fit: vLLM's cache has room for {memory.cache.tokens:,} tokens, and a "
            f"completion with its prompt has up to {memory.cache.max_tokens:,}"
        )
    return f"{why}; {cure_of(advised)}"


def cure_of(advised: Advice) -> str:
    """What to turn, as it is typed."""
    if advised.cheapest:
        return f"it fits with {' '.join(cure.words for cure in advised.cheapest)}"
    if advised.gpus is not None:
        return f"no setting makes it fit; it does on {advised.gpus} GPUs with trainer=fsdp2"
    return "no setting makes it fit; choose a smaller model, model.lora.rank=16, or fewer sampling.max_new_tokens"


def with_cures(memory: MemoryPlan, advised: Advice) -> Settings:
    """The settings with the cheapest cures."""
    s = memory.settings
    for cure in advised.cheapest:
        s = replace(s, **cure.change)
    return s

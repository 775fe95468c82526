"""The plan of a configuration: its memory, its time and its disk, for `task=plan` and for the start of a run."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from rsgrpo.composition.callbacks import build_callbacks
from rsgrpo.composition.disk import DiskUse, disk_use
from rsgrpo.composition.plan_settings import architecture_in, gpu_here, settings_of, work_of
from rsgrpo.composition.policy import build_lora
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError
from rsgrpo.planning.architecture import Architecture
from rsgrpo.planning.cures import Advice, advice, resolved
from rsgrpo.planning.duration import TimePlan, plan_time
from rsgrpo.planning.memory import MemoryPlan, plan_memory
from rsgrpo.planning.row_trace import Way, policy_of
from rsgrpo.planning.settings import GIB, Settings
from rsgrpo.training.recipe import Recipe


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
    work, untold = work_of(cfg, recipe)
    time = plan_time(
        architecture,
        memory.settings,
        work,
        parameters=memory.parameters,
        trained=memory.trained,
        optimizer_bytes=memory.host,
        cached_tokens=None if memory.cache is None else memory.cache.tokens,
    )
    return Plan(
        architecture=architecture, memory=memory, time=time, disk=_disk_of(cfg, recipe, architecture), untold=untold
    )


def _disk_of(cfg: DictConfig, recipe: Recipe, architecture: Architecture) -> DiskUse:
    with torch.device("meta"):
        way = Way(tokens=1, sequences=1, chunk_tokens=1, checkpointing=False, lora=build_lora(cfg))
        policy = policy_of(architecture.build(), way)
    return disk_use(policy, recipe, build_callbacks(cfg, recipe))


def decide_memory(cfg: DictConfig, recipe: Recipe) -> Settings | None:
    """On a GPU, say what a run will take of it, refuse one that cannot fit, and decide every `auto`; None elsewhere.

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
    if not memory.fits and cfg.trainer.check_memory:
        raise UserError(
            f"{refusal(memory, advice(architecture, memory.settings))}; task=plan shows all of it, and "
            "trainer.check_memory=false starts the run all the same"
        )
    return memory.settings


def offloads(cfg: DictConfig, decided: Settings | None) -> bool:
    """`trainer.offload_optimizer`, where `auto` is what the plan has decided, and no where there is none."""
    chosen = cfg.trainer.offload_optimizer
    return chosen if chosen != "auto" else decided is not None and bool(decided.offload_optimizer)


def content_of(plan: Plan, advised: Advice | None) -> dict[str, Any]:
    """`plan.json`: every number of a plan; memory in GiB."""
    architecture, memory, time = plan.architecture, plan.memory, plan.time
    s, cache = memory.settings, memory.cache
    lora = None if s.lora is None else {"rank": s.lora.rank, "target_modules": s.lora.target_modules}
    return {
        "model": {
            "source": architecture.source,
            "architecture": type(architecture.config).__name__.removesuffix("Config"),
            "parameters": memory.parameters,
            "trained": memory.trained,
        },
        "settings": {**asdict(s), "lora": lora},
        "layout": "trainer=fsdp2" if s.sharded else None,
        "fits": memory.fits,
        "usable_gib": s.usable / GIB,
        "largest": memory.largest,
        "phases": {
            name: {"total": phase.total / GIB, "parts": {part: b / GIB for part, b in phase.parts.items()}}
            for name, phase in memory.phases.items()
        },
        "host_gib": memory.host / GIB,
        "cache": None
        if cache is None
        else {"gib": cache.bytes / GIB, "tokens": cache.tokens, "rows": cache.rows, "longest": cache.max_tokens},
        "time": {
            "stages_s": dict(time.stages),
            "iteration_s": time.iteration,
            "iterations": time.iterations,
            "hours": time.hours,
            "evaluation_hours": time.evaluation_hours,
            "tflops": time.tflops,
            "decode_tokens_per_s": time.decode_tokens_per_s,
            "tests_left_out": list(plan.untold),
        },
        "disk": str(plan.disk),
        "advice": None
        if advised is None
        else {
            "cheapest": [cure.words for cure in advised.cheapest],
            "gpus": advised.gpus,
            "elsewhere": None if advised.gpus is None else f"{advised.gpus} GPUs with trainer=fsdp2",
            "remedies": [
                {"words": r.cure.words, "phase": r.phase, "saves_gib": r.saved / GIB, "costs": r.cure.costs}
                for r in advised.remedies
            ],
        },
    }


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
    return f"{why}; {cure_of(advised, memory)}"


def cure_of(advised: Advice, memory: MemoryPlan) -> str:
    """What to turn, as it is typed."""
    if advised.cheapest:
        return f"it fits with {' '.join(cure.words for cure in advised.cheapest)}"
    if advised.gpus is not None:
        return f"no setting makes it fit; it does on {advised.gpus} GPUs with trainer=fsdp2"
    adapters = "" if memory.settings.lora is not None else " model.lora.rank=16,"
    return f"no setting makes it fit;{adapters}{' or' if adapters else ''} choose a larger card or a smaller model"

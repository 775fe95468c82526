"""What to turn where a run does not fit, and the settings that `auto` stands for: found by planning again with them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from rsgrpo.planning.architecture import Architecture
from rsgrpo.planning.memory import MemoryPlan, Phase, plan_memory
from rsgrpo.planning.settings import GIB, Settings

MOST_GPUS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """A key to turn."""

    words: str
    """As they are typed: `optimizer=adamw8bit`."""
    change: dict[str, Any]
    """Of `Settings`."""
    cost: int
    """Where it stands: 1 costs nothing to speak of, 9 is the last resort."""
    costs: str
    """What it costs, in words."""

    def of(self, settings: Settings) -> Settings:
        """The settings with it."""
        return replace(settings, **self.change)


class Remedy(NamedTuple):
    """What one cure does alone."""

    cure: Cure
    phase: Phase
    """Of those that do not fit, the one that it helps most."""
    saved: float
    """Bytes, at the peak of that phase."""


class Advice(NamedTuple):
    """What to do about a run that does not fit."""

    remedies: tuple[Remedy, ...]
    """Each that helps, alone, cheapest first."""
    cheapest: tuple[Cure, ...]
    """The set with the least cost that fits by a plan of its own; empty where none does."""
    gpus: int | None
    """The fewest GPUs, doubled, on which it fits with `trainer=fsdp2` and no other change; None where none do."""


def resolved(architecture: Architecture, settings: Settings) -> Settings:
    """The settings with every `auto` decided.

    The engine sleeps only where train or step do not fit beside it. The optimiser state is moved to the host only where
    sample or sync do not fit with it.
    """
    s = settings
    if s.sleep is None:
        beside = replace(s, sleep=False, offload_optimizer=bool(s.offload_optimizer))
        s = replace(s, sleep=not _fit(plan_memory(architecture, beside), "train", "step"))
    if s.offload_optimizer is None:
        kept = replace(s, offload_optimizer=False)
        s = replace(s, offload_optimizer=not _fit(plan_memory(architecture, kept), "sample", "sync"))
    return s


def _fit(plan: MemoryPlan, *phases: Phase) -> bool:
    return all(plan.phases[phase].total <= plan.settings.usable for phase in phases)


def advice(architecture: Architecture, settings: Settings) -> Advice:
    """For settings whose plan does not fit, every `auto` decided."""
    before = plan_memory(architecture, settings)
    remedies, cures = [], candidates(architecture, before)
    for cure in cures:
        after = plan_memory(architecture, cure.of(settings))
        if help_of := _help(before, after):
            remedies.append(Remedy(cure, *help_of))
    return Advice(
        remedies=tuple(_one_of_each(remedies)),
        cheapest=_cheapest(architecture, settings, cures),
        gpus=_enough_gpus(architecture, settings),
    )


def _one_of_each(remedies: list[Remedy]) -> Iterator[Remedy]:
    """Of several shares of memory, the largest."""
    seen: set[frozenset[str]] = set()
    for remedy in remedies:
        changed = frozenset(remedy.cure.change)
        if changed not in seen:
            yield remedy
        seen.add(changed)


def candidates(architecture: Architecture, plan: MemoryPlan) -> list[Cure]:
    """The keys that could be turned, cheapest first."""
    return sorted(_candidates(architecture, plan), key=lambda cure: cure.cost)


def _candidates(architecture: Architecture, plan: MemoryPlan) -> Iterator[Cure]:
    s = plan.settings
    if s.on_gpu and s.optimizer == "adamw" and not s.fused:
        yield Cure(words="optimizer.fused=true", change={"fused": True}, cost=1, costs="nothing")
    if s.chunk_tokens > 512:
        few = f"model.chunk_tokens={512}"
        yield Cure(words=few, change={"chunk_tokens": 512}, cost=1, costs="next to nothing")
    if s.engine == "vllm" and s.on_gpu:
        yield from _of_vllm(plan)
    if s.engine == "hf" and s.max_rows > s.per_group:
        rows = max(s.per_group, s.max_rows // 4)
        yield Cure(words=f"rollout.max_rows={rows}", change={"max_rows": rows}, cost=2, costs="slower rollouts")
    if s.on_gpu and not s.offload_optimizer and not s.cpu_offload and s.engine != "other":
        yield Cure(
            words="trainer.offload_optimizer=true",
            change={"offload_optimizer": True},
            cost=2,
            costs="copying it out and back once an iteration",
        )
    shorter = max(s.longest, s.row_tokens // 2)
    if shorter < s.row_tokens:
        words = f"batching.row_tokens={shorter}"
        yield Cure(words=words, change={"row_tokens": shorter}, cost=2, costs="smaller matrices")
    if s.lora is not None and s.lora.base_dtype != "bfloat16" and s.on_gpu:
        words, half = "model.lora.base_dtype=bfloat16", replace(s.lora, base_dtype="bfloat16")
        yield Cure(words=words, change={"lora": half}, cost=2, costs="frozen weights in half precision")
    if not s.checkpointing:
        words = "trainer.activation_checkpointing=true"
        yield Cure(words=words, change={"checkpointing": True}, cost=3, costs="a quarter more time of updates")
    if s.optimizer == "adamw" and s.on_gpu and s.lora is None:
        yield Cure(words="optimizer=adamw8bit", change={"optimizer": "adamw8bit"}, cost=3, costs="moments in 8 bits")
    if s.engine == "vllm" and s.sharded and s.gpus % (2 * s.tensor_parallel_size) == 0:
        twice = 2 * s.tensor_parallel_size
        if architecture.config.num_attention_heads % twice == 0:
            words = f"rollout.tensor_parallel_size={twice}"
            yield Cure(words=words, change={"tensor_parallel_size": twice}, cost=3, costs="engines that communicate")
    if s.weights == "float32" and s.on_gpu and s.lora is None:  # AdamW would lose most updates
        words = "optimizer=adamw8bit trainer.weights=bfloat16"
        change = {"optimizer": "adamw8bit", "weights": "bfloat16"}
        yield Cure(words=words, change=change, cost=5, costs="weights rounded to half precision")
    if s.sharded and not s.cpu_offload:
        words = "trainer.cpu_offload=true"
        yield Cure(words=words, change={"cpu_offload": True}, cost=9, costs="much time; the last resort")


def _of_vllm(plan: MemoryPlan) -> Iterator[Cure]:
    """A smaller share of the memory, as large as what is left; fewer rows; no graphs; sleep."""
    s = plan.settings
    if s.sleep is False:
        yield Cure(words="rollout.sleep=true", change={"sleep": True}, cost=1, costs="a second or two an iteration")
    if s.kv_cache_gib is None:
        for share in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2):
            if share != s.gpu_memory_share:
                yield Cure(
                    words=f"rollout.gpu_memory_share={share}",
                    change={"gpu_memory_share": share},
                    cost=2,
                    costs="fewer completions side by side" if share < s.gpu_memory_share else "nothing",
                )


def _help(before: MemoryPlan, after: MemoryPlan) -> tuple[Phase, float] | None:
    """The phase that does not fit and shrinks most, and by how much; for a cache that is too small, its growth."""
    usable = before.settings.usable
    saved: list[tuple[float, Phase]] = [
        (phase.total - after.phases[name].total, name) for name, phase in before.phases.items() if phase.total > usable
    ]
    if saved and max(saved)[0] > 0.01 * GIB:
        most, where = max(saved)
        return where, most
    if before.cache is not None and after.cache is not None and before.cache.tokens < before.settings.max_tokens:
        grown = after.cache.bytes - before.cache.bytes
        if grown > 0.01 * GIB:
            return "sample", grown
    return None


def _cheapest(architecture: Architecture, settings: Settings, cures: list[Cure]) -> tuple[Cure, ...]:
    """By cost, then by number. One that does not help alone may do so in a set: a larger share for the engine."""
    by_key: dict[str, list[Cure | None]] = {}
    for cure in cures:
        by_key.setdefault(cure.words.partition("=")[0], [None]).append(cure)
    sets = [tuple(cure for cure in chosen if cure is not None) for chosen in product(*by_key.values())]
    for chosen in sorted(sets, key=lambda chosen: (sum(cure.cost for cure in chosen), len(chosen)))[1:]:
        s = settings
        for cure in chosen:
            s = cure.of(s)
        if plan_memory(architecture, s, row=False).fits and plan_memory(architecture, s).fits:
            return chosen
    return ()


def _enough_gpus(architecture: Architecture, settings: Settings) -> int | None:
    if not settings.on_gpu:
        return None
    gpus = max(2, settings.gpus * 2)
    while gpus <= MOST_GPUS:
        more = replace(settings, sharded=True, gpus=gpus)
        if plan_memory(architecture, more, row=False).fits and plan_memory(architecture, more).fits:
            return gpus
        gpus *= 2
    return None

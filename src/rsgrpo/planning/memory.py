"""Memory of a run on each GPU, by phase and by part.

Weights, gradients and optimiser state are counted; a row is traced (`row_trace`); what neither can say is an allowance,
stated here and in docs/plan.md.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from rsgrpo.models.lora import LoRA
from rsgrpo.planning.architecture import Architecture
from rsgrpo.planning.engines import Cache, engine_parts, engine_rest
from rsgrpo.planning.row_trace import Way, policy_of, row_bytes
from rsgrpo.planning.settings import GIB, Settings
from rsgrpo.training.adamw8bit import state_bytes

Phase = Literal["sample", "sync", "train", "step"]

CONTEXT = 0.8 * GIB
"""Allowance for CUDA's context and its libraries' workspaces."""

NCCL = 1.0 * GIB
"""Allowance for the buffers of NCCL."""

FRAGMENTS = 0.03
"""Allowance for what PyTorch's allocator holds and cannot use, as a share of the weights' and the row's bytes."""

BYTES_OF_A_ROW_TOKEN = 60
"""Of all packed rows of an iteration, which lie on the GPU: six int64 and three float32."""


class Weight(NamedTuple):
    """One parameter."""

    shape: tuple[int, ...]
    trained: bool
    in_layers: bool

    @property
    def numbers(self) -> int:
        """How many it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePlan:
    """What a phase needs on each GPU."""

    parts: Mapping[str, float]
    """Bytes by part, all of them at the peak of the phase."""

    @property
    def total(self) -> float:
        """Bytes at the peak."""
        return sum(self.parts.values())

    @property
    def largest_part(self) -> str:
        return max(self.parts, key=lambda name: self.parts[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What a run needs on each GPU, and on the host."""

    settings: Settings
    phases: Mapping[Phase, PhasePlan]
    cache: Cache | None
    """Of keys and values of vLLM; None for another engine."""
    host: float
    """Bytes of pinned host memory of a process."""
    parameters: int
    trained: int

    @property
    def largest(self) -> Phase:
        """The phase with the highest peak."""
        return max(self.phases, key=lambda name: self.phases[name].total)

    @property
    def peak(self) -> float:
        return self.phases[self.largest].total

    @property
    def fits(self) -> bool:
        """Whether every phase fits, and the engine's cache holds at least one completion."""
        return self.excess <= 0 and (self.cache is None or self.cache.tokens >= self.settings.max_tokens)

    @property
    def excess(self) -> float:
        """Bytes by which the largest phase exceeds the GPU; negative where it fits."""
        return self.peak - self.settings.usable


def plan_memory(architecture: Architecture, settings: Settings, *, row: bool = True) -> MemoryPlan:
    """Of each process; an `auto` that is not decided counts as off, see `rsgrpo.planning.cures.resolved`.

    Args:
        row: without it `train` is left without its row, whose trace takes most of the time: less than what is needed.
    """
    s = settings
    weights = weights_of(architecture, s.lora)
    trained = sum(w.numbers for w in weights if w.trained)
    state = _state(s, weights)
    held = {name: size for name, size in state.items() if name not in ("gradients", "optimiser state")}
    if s.reference:
        held["reference policy"] = sum(w.numbers for w in weights) * 4 / s.shards
    held |= {"packed rows": s.completions / s.gpus * (s.prompt_tokens + s.mean_tokens) * BYTES_OF_A_ROW_TOKEN}
    allowance = (CONTEXT + (NCCL if s.gpus > 1 else 0)) if s.on_gpu else 0
    held["allowance: CUDA, NCCL"] = allowance
    host = 0.0
    if s.cpu_offload:
        host = sum(state.values())
        state = dict.fromkeys(state, 0.0)
        held |= dict.fromkeys(("weights", "frozen weights"), 0.0)
    elif s.offload_optimizer:
        host = state["optimiser state"]
    resident = {**held, "optimiser state": 0.0 if s.offload_optimizer else state["optimiser state"]}
    at_start = {name: size for name, size in held.items() if name != "packed rows"}
    engine, cache = engine_parts(architecture, s, resident=sum(at_start.values()))
    beside = engine if s.sleep is False else engine_rest(s)
    training = {**held, "gradients": state["gradients"], "optimiser state": state["optimiser state"], **beside}
    largest = max(w.numbers for w in weights)
    gathered_tensor = {"a gathered tensor": largest * (4 + 2.0)} if s.engine != "hf" else {}
    weights_awake = {name: engine[name] for name in ("engine: weights", "engine: allowance") if name in engine}
    phases: dict[Phase, PhasePlan] = {
        "sample": PhasePlan(parts=_some({**resident, **engine})),
        "train": PhasePlan(parts=_some(training | (_row(architecture, s, weights, training) if row else {}))),
        "step": PhasePlan(parts=_some({**training, "optimiser's step": _step(s, weights)})),
        "sync": PhasePlan(parts=_some({**resident, **weights_awake, **gathered_tensor})),
    }
    return MemoryPlan(
        settings=s,
        phases=phases,
        cache=cache,
        host=host,
        parameters=sum(math.prod(shape) for shape in architecture.parameters.values()),
        trained=trained,
    )


def _some(parts: Mapping[str, float]) -> dict[str, float]:
    return {name: size for name, size in parts.items() if size}


@functools.lru_cache(maxsize=64)
def weights_of(architecture: Architecture, lora: LoRA | None) -> tuple[Weight, ...]:
    """Every parameter, adapters included, of the whole model built without memory."""
    with torch.device("meta"):
        policy = policy_of(
            architecture.build(), Way(tokens=1, sequences=1, chunk_tokens=1, checkpointing=False, lora=lora)
        )
    in_layers = {id(parameter) for layer in policy.layers for parameter in layer.parameters()}
    return tuple(Weight(tuple(p.shape), p.requires_grad, id(p) in in_layers) for p in policy.parameters())


def _state(s: Settings, weights: tuple[Weight, ...]) -> dict[str, float]:
    """Bytes of weights, gradients and optimiser state on each process."""
    size = s.weight_type.itemsize
    trained = sum(w.numbers for w in weights if w.trained)
    frozen = sum(w.numbers for w in weights if not w.trained)
    moments = sum(_moments(w, s) for w in weights if w.trained)
    parts = {"weights": trained * size, "gradients": trained * size, "optimiser state": moments}
    if frozen:
        parts["frozen weights"] = frozen * s.base_type.itemsize
    return {name: number / s.shards for name, number in parts.items()}


def _moments(weight: Weight, s: Settings) -> int:
    """Bytes of two of each number: in the weights' type, or in 8 bits with scales."""
    if s.optimizer == "adamw8bit":
        return state_bytes(weight.shape)
    return 2 * weight.numbers * s.weight_type.itemsize


def _step(s: Settings, weights: tuple[Weight, ...]) -> float:
    """What the optimiser's step needs beside weights, gradients and state."""
    trained = [w.numbers / s.shards for w in weights if w.trained]
    if s.cpu_offload:
        return 0.0  # on the host
    if s.optimizer == "adamw8bit":
        return 2 * max(trained) * 4  # the two moments of one parameter after the other, in float32
    if s.on_gpu and s.fused:
        return 0.0
    if s.on_gpu:
        return sum(trained) * s.weight_type.itemsize  # PyTorch's default works on all at once: a square root of each
    return 2 * max(trained) * s.weight_type.itemsize


def way_of(s: Settings) -> Way:
    """How the settings compute the longest row that there can be."""
    tokens = max(s.row_tokens, s.longest)
    return Way(
        tokens=tokens,
        sequences=max(1, tokens // s.longest),
        chunk_tokens=s.chunk_tokens,
        checkpointing=s.checkpointing,
        autocast=s.half_compute and not s.sharded,
        weights=s.weight_type,
        lora=s.lora,
        gathered=s.compute_type if s.sharded else None,
        entropy_gradient=s.entropy_gradient,
        of_a_gpu=s.on_gpu and s.compute_type == torch.bfloat16,
    )


def _row(
    architecture: Architecture, s: Settings, weights: tuple[Weight, ...], beside: Mapping[str, float]
) -> dict[str, float]:
    """What a row takes, from the second one of an update on, with what FSDP2 gathers for it."""
    row = row_bytes(architecture, way_of(s)).further
    parts = {"activations of a row": row.kept}
    if row.head >= row.layers:
        parts["head chunk"] = row.head - row.kept
    else:
        parts["a layer's backward pass"] = max(0.0, row.layers - row.kept)
    if s.sharded:
        parts["gathered weights"] = _gathered(s, weights, architecture.layers)
    if s.on_gpu:
        parts["allowance: fragments"] = FRAGMENTS * (sum(beside.values()) + sum(parts.values()))
    return parts


def _gathered(s: Settings, weights: tuple[Weight, ...], layers: int) -> float:
    """Weights that FSDP2 holds whole: all outside of the layers, and two layers with one on its way; and its buffers.

    The gradients of a layer are reduced in float32, while those of the layer before it are still on their way.
    """
    size = s.compute_type.itemsize
    layer = sum(w.numbers for w in weights if w.in_layers) / layers
    trained = sum(w.numbers for w in weights if w.in_layers and w.trained) / layers
    outside = sum(w.numbers for w in weights if not w.in_layers)
    return (outside + 3 * layer) * size + 2 * trained * 4

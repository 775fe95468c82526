"""Memory of the sampling engine: vLLM's weights, workspace and cache, or the cache of `rollout=hf`."""

from dataclasses import dataclass

from rsgrpo.planning.architecture import Architecture
from rsgrpo.planning.settings import GIB, Settings

RUNTIME = 0.5 * GIB
"""Allowance for what vLLM holds beside PyTorch's tensors."""

GRAPHS = 1.0 * GIB
"""Allowance for vLLM's CUDA graphs."""

COPIES_OF_LOGITS = {"vllm": 3, "hf": 5}
"""Tensors of rows x vocabulary in float32 that sampling holds at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The cache of keys and values of a vLLM."""

    bytes: float
    """On each GPU."""
    bytes_per_token: float
    """On each GPU."""
    max_tokens: int
    max_rows: int

    @property
    def tokens(self) -> int:
        """How many tokens of context fit, of all completions side by side."""
        return max(0, int(self.bytes / self.bytes_per_token))

    @property
    def rows(self) -> int:
        """How many of the longest completions fit side by side."""
        return min(self.max_rows, self.tokens // self.max_tokens)


def engine_parts(architecture: Architecture, s: Settings, *, resident: float) -> tuple[dict[str, float], Cache | None]:
    """Bytes of an engine that is awake, by part.

    Args:
        resident: bytes of the trainer when the engine starts: no gradient and no moment is there yet.
    """
    if s.engine == "hf":
        return _hf(architecture, s), None
    if s.engine != "vllm":
        return {}, None
    size, parallel = (2 if s.half_engine else 4), s.tensor_parallel_size
    parameters = sum(shape.numel() for shape in architecture.parameters.values())
    config, tokens = architecture.config, max(s.prefill_tokens, s.max_rows, 0 if s.on_gpu else s.max_tokens)
    of_a_token = (4 * config.hidden_size + 2 * config.intermediate_size / parallel) * size
    logits = s.max_rows * architecture.vocabulary * 4 * COPIES_OF_LOGITS["vllm"]
    parts = {
        "engine: weights": parameters * size / parallel,
        "engine: workspace": max(tokens * of_a_token, logits),
        "engine: allowance": RUNTIME,
    }
    if s.kv_cache_gib is not None:
        cache = s.kv_cache_gib * GIB
    elif s.on_gpu:
        cache = max(0.0, s.gpu_memory_share * (s.usable - resident) - sum(parts.values()))
    else:
        cache = 1.0 * GIB
    parts["engine: keys and values"] = cache
    if s.graphs and s.on_gpu:
        parts["engine: allowance"] += GRAPHS
    found = Cache(
        bytes=cache,
        bytes_per_token=architecture.cached_numbers * size / parallel,
        max_tokens=s.max_tokens,
        max_rows=s.max_rows,
    )
    return parts, found


def engine_rest(s: Settings) -> dict[str, float]:
    """What an engine that sleeps keeps on its GPU."""
    if s.engine != "vllm" or not s.on_gpu:
        return {}
    return {"engine: asleep": RUNTIME + (GRAPHS if s.graphs else 0)}


def _hf(architecture: Architecture, s: Settings) -> dict[str, float]:
    """A cache as long as the longest completion for each row, of which a layer is copied at each step."""
    rows = max(1, s.max_rows // s.per_group) * s.per_group
    size = s.compute_type.itemsize
    cache = rows * s.longest * architecture.cached_numbers * size
    parts = {
        "engine: keys and values": cache * (1 + 1 / architecture.layers),
        "engine: logits": rows * architecture.vocabulary * 4.0 * COPIES_OF_LOGITS["hf"],
    }
    if s.sharded:
        whole = sum(shape.numel() for shape in architecture.parameters.values())
        parts["engine: gathered weights"] = whole * s.compute_type.itemsize
    return parts

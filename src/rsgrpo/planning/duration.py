"""Time of a run by stage, import math
from rates: an estimate, no better than the rates are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rsgrpo.planning.architecture import Architecture
from rsgrpo.planning.settings import Settings

TFLOPS = {True: 230.0, False: 270.0}
"""Achieved by a training row on an H200, with and without activation checkpointing: the slowest of those measured in
docs/distributed.md, 6 operations a parameter and token over the seconds of forward, backward and step."""

STEP_S = 0.0147
"""Of a decoding step, with CUDA graphs: 512 rows of Qwen3-0.6B on an H200 at 34,716 tokens/s (docs/rollouts.md)."""

EAGER_STEP_S = 0.0287
"""Without graphs, at 17,868 tokens/s."""

BANDWIDTH = 2.5e12
"""Bytes a second that decoding reads of further weights and of its cache: three quarters of an H100's datasheet."""

HF_TOKENS_PER_S = 4733.0
"""Of rollout=hf, Qwen3-0.6B on an H200 (docs/rollouts.md)."""

MEASURED_PARAMETERS = 596_049_920
"""Of Qwen3-0.6B."""

ON_CPU = {"tflops": 0.033, "decode": 1195 * 25_393_664}
"""One core: 31,432 trained tokens/s at 175,424 parameters (docs/design.md), and tokens/s x parameters of decoding
(docs/rollouts.md)."""

STEP_S_PER_PARAMETER = {True: 0.038 / 4.02e9, False: 0.092 / 4.02e9}
"""Of the optimiser's step on an H200, fused and PyTorch's default (docs/distributed.md)."""

SYNC_S_PER_PARAMETER = 0.10 / MEASURED_PARAMETERS
"""Of a sync (docs/rollouts.md)."""

PCIE = 25e9
"""Bytes a second between host and GPU, assumed."""

REWARD_S = 1e-3
"""Of a completion: an allowance."""

PROMPT_TOKENS = 200
"""Of a prompt, on average, assumed."""

TEST_PROBLEMS = {
    "math500": 500,
    "aime24": 30,
    "aime25": 30,
    "hmmt_feb_2024": 30,
    "hmmt_feb_2025": 30,
    "cmimc_2025": 40,
    "gsm8k_test": 1319,
}
"""Problems of the test sets that come with the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run does, as far as its time depends on it."""

    iterations: int
    updates: int
    """Optimiser steps of an iteration."""
    epochs: int
    old_logprobs: bool
    """Whether a forward pass of its own gives them."""
    validation_completions: int
    """Of all validations of the run."""
    test_completions: int
    """Of all tests of the run."""
    tflops: float | None = None
    decode_tokens_per_s: float | None = None
    """Of each GPU; None derives both from what was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePlan:
    """Seconds of an iteration by stage, and hours of the run."""

    stages: Mapping[str, float]
    iterations: int
    evaluation_hours: float
    tflops: float
    decode_tokens_per_s: float

    @property
    def iteration(self) -> float:
        """Seconds."""
        return sum(self.stages.values())

    @property
    def hours(self) -> float:
        """Of the run, its evaluations included."""
        return self.iterations * self.iteration / 3600 + self.evaluation_hours

    @property
    def share_of_evaluations(self) -> float:
        return self.evaluation_hours / self.hours


def plan_time(
    architecture: Architecture,
    s: Settings,
    work: Work,
    *,
    parameters: int,
    trained: int,
    optimizer_bytes: float,
    cached_tokens: int | None = None,
) -> TimePlan:
    """Of a run whose plan of memory has these numbers.

    Args:
        cached_tokens: that vLLM's cache holds, of prompts and completions side by side.
        optimizer_bytes: what is moved out and back where the optimiser state is offloaded.
    """
    tflops = work.tflops or (TFLOPS[s.checkpointing] if s.on_gpu else ON_CPU["tflops"])
    decode = work.decode_tokens_per_s or decode_rate(architecture, s, parameters, cached_tokens)
    speed = tflops * 1e12 * s.gpus
    tokens = s.completions * (s.mean_tokens + min(PROMPT_TOKENS, s.prompt_tokens)) * work.epochs
    forward = 2 * parameters * tokens / speed
    operations = 6 if trained == parameters else 4  # no gradient of frozen weights
    stages = {
        "sync": SYNC_S_PER_PARAMETER * parameters if s.engine == "vllm" else 0.0,
        "rollout": s.completions * s.mean_tokens / (decode * s.gpus),
        "reward": REWARD_S * s.completions / s.gpus,
        "reference": forward if s.reference else 0.0,
        "old log-probs": forward / work.epochs if work.old_logprobs else 0.0,
        "updates": operations * parameters * tokens / speed
        + work.updates * trained / s.shards * STEP_S_PER_PARAMETER[s.fused],
        "offload": 2 * optimizer_bytes / PCIE if s.offload_optimizer else 0.0,
    }
    evaluated = (work.validation_completions + work.test_completions) * s.mean_tokens / (decode * s.gpus)
    return TimePlan(
        stages={name: seconds for name, seconds in stages.items() if seconds},
        iterations=work.iterations,
        evaluation_hours=evaluated / 3600,
        tflops=tflops,
        decode_tokens_per_s=decode,
    )


def decode_rate(architecture: Architecture, s: Settings, parameters: int, cached_tokens: int | None = None) -> float:
    """Tokens a second of each GPU: rows over the time of a step, which reads the weights and the cache of each row.

    Rows are as many as are sampled at most and the cache holds, half of their completion long on average; that the last
    ones of a rollout run alone is left out.
    """
    if not s.on_gpu:
        return ON_CPU["decode"] / parameters
    if s.engine != "vllm":
        return HF_TOKENS_PER_S * MEASURED_PARAMETERS / parameters
    length = PROMPT_TOKENS + s.mean_tokens / 2
    held = math.inf if cached_tokens is None else cached_tokens / length
    rows = max(1.0, min(s.max_rows, s.completions / s.gpus, held))
    size = 2 if s.half_engine else 4
    cached = rows * length * architecture.cached_numbers * size
    weights = max(0, parameters - MEASURED_PARAMETERS) * size
    seconds = (STEP_S if s.graphs else EAGER_STEP_S) + (cached + weights) / s.tensor_parallel_size / BANDWIDTH
    return rows / seconds / s.tensor_parallel_size

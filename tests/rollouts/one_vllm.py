"""One vLLM for all tests of a session: it takes seconds to start, and new weights are a matter of milliseconds."""

import atexit
from typing import Any

import pytest

from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.rollouts.vllm.process import missing

STARTED: list[VLLMEngine] = []


def vllm_engine(policy: Policy, side_by_side: int = 512) -> VLLMEngine:
    """The one engine with the weights of `policy`, which has the shape of the fixture's; skips without vLLM."""
    if (problem := missing()) is not None:
        pytest.skip(problem)
    if not STARTED:
        STARTED.append(VLLMEngine(policy=policy, kv_cache_gib=0.125))
        atexit.register(STARTED[0].close)
    engine = STARTED[0]
    engine.policy = policy
    engine.load_policy(full_tensors(policy.model), version=0)
    scheduler_of(engine).max_num_active_reqs = min(side_by_side, engine.max_rows)
    return engine


def scheduler_of(engine: VLLMEngine) -> Any:
    """What decides in vLLM which requests run."""
    return engine._llm.llm_engine.engine_core.engine_core.scheduler

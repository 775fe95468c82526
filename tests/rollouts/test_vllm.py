"""What is vLLM's alone: its place in the process, its weights, the GPU's memory."""

import importlib.util
import logging
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import HashStore

from rsgrpo.command_line.own_names import in_keys
from rsgrpo.distributed import ranks
from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.errors import FieldError, UserError
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.vllm import VLLMEngine, memory
from rsgrpo.types import Sampling
from tests.rollouts.one_vllm import scheduler_of, vllm_engine
from tests.rollouts.test_laws import completions_of, drawn, prompts_for, tokens, trainer_logprobs
from tests.runs import ROOT

SAMPLING = Sampling(max_new_tokens=12)


def state_of_process() -> dict[str, Any]:
    """What a guest should leave as it was. Python's generator is left out: the tests' type checker draws from it."""
    numpy: Any = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (numpy[2], numpy[1].tobytes()),
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "set_num_threads": torch.set_num_threads,
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "logging": (logging.root.manager.disable, list(logging.root.handlers), logging.root.level),
    }


def test_start_sampling_and_sync_leave_the_process_as_it_was(policy: Policy) -> None:
    before = state_of_process()
    engine = vllm_engine(policy)
    assert state_of_process() == before
    groups = engine.generate(prompts_for(policy), SAMPLING, num_completions=2, seeds=range(7))
    for _ in groups:
        assert state_of_process() == before, "between two groups too: the consumer may train there"
    engine.load_policy(full_tensors(policy.model), version=1)
    assert state_of_process() == before


def test_the_generator_of_python_is_left_alone(policy: Policy) -> None:
    engine = vllm_engine(policy)
    random.seed(7)
    before = random.getstate()
    with engine._visiting():
        random.random()
    assert random.getstate() == before


@pytest.mark.slow
def test_a_second_engine_starts_beside_others_process_group_and_leaves_it(policy: Policy) -> None:
    first = vllm_engine(policy)  # its process group, or one of a run, is there already
    assert dist.is_initialized()
    first.close()
    assert not dist.is_initialized(), "the engine had made it"
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        again = vllm_engine(policy)
        assert again is first
        drawn(again, prompts_for(policy)[:1], SAMPLING)
        again.close()
        assert dist.is_initialized()
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_an_engine_whose_process_group_has_gone_closes_and_starts_again(policy: Policy) -> None:
    engine = vllm_engine(policy)
    ranks.leave()  # as a run of several ranks ends
    engine.close()
    again = vllm_engine(policy)
    assert drawn(again, prompts_for(policy)[:1], SAMPLING)
    again.close()
    assert not dist.is_initialized()


@pytest.mark.slow
def test_a_closed_engine_leaves_no_memory_behind() -> None:
    """In a process of its own, in which vLLM is imported by the engine's start."""
    command = [sys.executable, "-m", "tests.rollouts.closed_vllm"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    before, after, *alive = done.stdout.splitlines()[-1].split()
    assert int(after) < 1.01 * int(before)
    assert alive == []


def test_weights_are_taken_as_they_come_and_none_is_kept(policy: Policy) -> None:
    engine = vllm_engine(policy)
    alive: list[str] = []

    def one_at_a_time() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in full_tensors(policy.model):
            alive.append(name)
            yield name, tensor.clone()

    engine.load_policy(one_at_a_time(), version=3)
    assert alive == [name for name, _ in policy.model.named_parameters()]
    assert engine.version == 3


def test_a_tensor_that_is_left_out_stops_the_sync_by_name(policy: Policy) -> None:
    engine = vllm_engine(policy)
    stream = [(name, tensor) for name, tensor in full_tensors(policy.model) if "1.mlp.down_proj" not in name]
    with pytest.raises(RuntimeError, match=r"got no weights for .*1\.mlp\.down_proj"):
        engine.load_policy(stream, version=1)


def test_half_of_a_joined_tensor_stops_the_sync_by_name(policy: Policy) -> None:
    """vLLM joins q, k and v into one parameter, and calls it loaded when one of them has come."""
    engine = vllm_engine(policy)
    stream = [(name, tensor) for name, tensor in full_tensors(policy.model) if "0.self_attn.k_proj" not in name]
    with pytest.raises(RuntimeError, match=r"missing \['model\.layers\.0\.self_attn\.k_proj\.weight'\]"):
        engine.load_policy(stream, version=1)


def test_every_parameter_reaches_the_engine(policy: Policy) -> None:
    """One after another, by the log-probs: the output head is tied to the embeddings, and a copy of them is packed."""
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(4)  # random weights are so small that attention says nothing
    engine, prompts = vllm_engine(policy), prompts_for(policy)[:3]
    for name, parameter in policy.model.named_parameters():
        before = drawn(engine, prompts, SAMPLING, n=1)
        with torch.no_grad():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        pairs = completions_of(before)
        moved = [(c.logprobs - trainer_logprobs(policy, p, c, 1.0)).abs().max() for p, c in pairs]
        assert max(moved) > 1e-3, f"{name} says nothing here"
        engine.load_policy(full_tensors(policy.model), version=1)
        for prompt, completion in completions_of(drawn(engine, prompts, SAMPLING, n=1)):
            expected = trainer_logprobs(policy, prompt, completion, 1.0)
            torch.testing.assert_close(completion.logprobs, expected, atol=1e-4, rtol=0, msg=name)


def test_it_does_not_sample_without_weights(policy: Policy) -> None:
    engine = vllm_engine(policy)
    engine.make_room()
    with pytest.raises(RuntimeError, match="load_policy comes before generate"):
        engine.generate(prompts_for(policy), SAMPLING, num_completions=1, seeds=range(7))


def test_abandoned_prompts_are_forgotten(policy: Policy) -> None:
    engine, prompts = vllm_engine(policy, side_by_side=2), prompts_for(policy)
    groups = engine.generate(prompts, Sampling(max_new_tokens=60), num_completions=2, seeds=range(7))
    next(groups)
    groups.close()  # type: ignore[attr-defined]
    assert scheduler_of(engine).get_num_unfinished_requests() == 0
    engine.load_policy(full_tensors(policy.model), version=1)
    assert len(drawn(engine, prompts[:1], SAMPLING)) == 1


def test_weights_do_not_change_under_what_is_being_sampled(policy: Policy) -> None:
    engine = vllm_engine(policy, side_by_side=2)
    groups = engine.generate(prompts_for(policy), Sampling(max_new_tokens=60), num_completions=2, seeds=range(7))
    next(groups)
    with pytest.raises(RuntimeError, match="still being sampled"):
        engine.load_policy(full_tensors(policy.model), version=1)
    groups.close()  # type: ignore[attr-defined]


def test_neighbouring_seeds_share_no_completion(policy: Policy) -> None:
    """vLLM gives sample i of a request the seed plus i."""
    engine, prompt = vllm_engine(policy), prompts_for(policy)[0]
    groups = drawn(engine, [prompt] * 3, SAMPLING, n=4, seeds=[5, 6, 7])
    assert len({ids for group in groups for ids in tokens(group)}) == 12


def test_a_temperature_that_vllm_would_change_is_refused(policy: Policy) -> None:
    with pytest.raises(UserError, match=r"temperature=0\.005: vLLM samples at 0\.01 or above; try temperature=0\.01"):
        drawn(vllm_engine(policy), prompts_for(policy), Sampling(max_new_tokens=2, temperature=0.005))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_rows": 0}, "max_rows=0 must be at least 1"),
        ({"max_tokens": 4096}, "max_tokens=4096 is more than the policy's context of 2048; try max_tokens=2048"),
        ({"max_tokens": 5}, "max_tokens=5 must be at least 132"),
        ({"gpu_memory_share": 1.5}, "gpu_memory_share=1.5 must be between 0.01 and 1"),
        ({"check_every": 0}, "check_every=0 must be at least 1"),
    ],
)
def test_a_setting_out_of_range_is_refused(policy: Policy, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError, match=says):
        VLLMEngine(policy=policy, **settings)


def test_without_vllm_one_sentence_says_how_to_get_it(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"on a CPU: make vllm, on a GPU node: pip install 'rsgrpo\[vllm\]'"):
        VLLMEngine(policy=policy)


TORCHS = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
ALLOCATORS = RuntimeError("CUDA Error: out of memory at /workspace/csrc/cumem_allocator.cpp:139")
"""What the allocator of an engine that sleeps raises while it wakes up."""


class Recorder:
    """Stands in for vLLM on a GPU: writes down what it is told, and fails where it is told to."""

    def __init__(self, fails_at: str = "", error: Exception = TORCHS) -> None:
        self.calls: list[str] = []
        self.fails_at, self.error = fails_at, error

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fails_at:
            raise self.error

    def sleep(self, level: int) -> None:
        self.note(f"sleep {level}")

    def wake_up(self, tags: list[str]) -> None:
        self.note(f"wake {tags[0]}")

    @property
    def llm_engine(self) -> "Recorder":
        return self

    def has_unfinished_requests(self) -> bool:
        return False

    def collective_rpc(self, method: Any, args: Any) -> None:
        self.note("load")
        list(args[0])

    def reset_prefix_cache(self) -> bool:
        self.note("reset")
        return True


@pytest.fixture
def on_a_gpu(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> VLLMEngine:
    """An engine that takes this machine for one with a GPU of 80 GiB, of which 50 are free."""
    monkeypatch.setattr("rsgrpo.rollouts.vllm.engine.missing", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (50 * 2**30, 80 * 2**30))
    engine = VLLMEngine(policy=policy)
    engine._llm = Recorder()
    return engine


def test_on_a_gpu_it_sleeps_while_the_trainer_works_and_wakes_weights_first(
    policy: Policy, on_a_gpu: VLLMEngine
) -> None:
    for version in range(2):
        on_a_gpu.load_policy(full_tensors(policy.model), version=version)
        on_a_gpu.make_room()
    first = ["load", "reset", "sleep 2"]
    assert on_a_gpu._llm.calls == [*first, "wake weights", "load", "wake kv_cache", "reset", "sleep 2"]


def test_on_a_gpu_two_syncs_in_a_row_wake_it_once(policy: Policy, on_a_gpu: VLLMEngine) -> None:
    on_a_gpu.make_room()
    for version in range(2):
        on_a_gpu.load_policy(full_tensors(policy.model), version=version)
    assert on_a_gpu._llm.calls == ["sleep 2", "wake weights", "load", "wake kv_cache", "reset", "load", "reset"]


@pytest.mark.parametrize("fails_at", ["wake weights", "wake kv_cache"])
@pytest.mark.parametrize(
    ("error", "says"),
    [(TORCHS, r"CUDA out of memory\. Tried to allocate 2\.00 GiB"), (ALLOCATORS, "CUDA Error: out of memory")],
    ids=["PyTorch", "allocator"],
)
def test_too_little_gpu_memory_is_said_in_numbers_with_the_keys(
    policy: Policy, on_a_gpu: VLLMEngine, fails_at: str, error: Exception, says: str
) -> None:
    on_a_gpu._llm = Recorder(fails_at, error)
    on_a_gpu.make_room()
    with pytest.raises(UserError, match=rf"50\.0 of the GPU's 80\.0 GiB are free: {says}; lower gpu_memory_share"):
        on_a_gpu.load_policy(full_tensors(policy.model), version=1)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            "To serve at least one request, (0.9 GiB KV cache is needed, which is larger than the available KV cache "
            "memory (0.5 GiB). Try increasing `gpu_memory_utilization`.",
            r"one completion of rollout.max_tokens do not fit; lower rollout.max_tokens, or raise rollout.kv_cache_gib",
        ),
        (
            "Available memory on node 0 is less than requested memory for kv (500.0 GiB). Decrease --kv-cache.",
            r"memory: Available memory on node 0 .* \(500.0 GiB\); lower rollout.gpu_memory_share",
        ),
    ],
)
def test_what_vllm_says_of_memory_is_said_in_keys_of_ours(error: str, says: str) -> None:
    with pytest.raises(UserError) as caught, memory.in_words():
        raise ValueError(error)
    assert re.search(says, in_keys(caught.value))


@pytest.mark.parametrize(
    "other", [ValueError("another mistake"), RuntimeError("CUDA Error: another mistake at memory.cpp:1")]
)
def test_an_error_that_is_not_of_memory_is_raised_as_it_is(other: Exception) -> None:
    with pytest.raises(type(other), match="another mistake") as raised, memory.in_words():
        raise other
    assert raised.value is other


def test_on_a_gpu_its_share_is_of_what_is_free(on_a_gpu: VLLMEngine) -> None:
    share = {"gpu_memory_utilization": 0.6 * 50 / 80, "enable_sleep_mode": True}
    settings = on_a_gpu._settings(ranks=1)
    assert settings | share == settings
    assert "kv_cache_memory_bytes" not in settings
    on_a_gpu.kv_cache_gib = 2.0
    assert on_a_gpu._settings(ranks=1)["kv_cache_memory_bytes"] == 2 * 2**30
    assert on_a_gpu.parity.bound == 0.2, "bfloat16"


def test_on_a_cpu_the_cache_has_a_size_and_blocks_of_32_tokens(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsgrpo.rollouts.vllm.engine.missing", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    engine = VLLMEngine(policy=policy, kv_cache_gib=0.5)
    settings = engine._settings(ranks=1)
    assert (settings["kv_cache_memory_bytes"], settings["block_size"]) == (2**29, 32)
    assert not settings.keys() & {"gpu_memory_utilization", "enable_sleep_mode"}
    assert engine.parity.bound == 1e-4

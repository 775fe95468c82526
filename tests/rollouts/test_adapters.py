"""LoRA adapters that go to vLLM as adapters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.errors import FieldError
from rsgrpo.models.lora import LoRA
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import parts_of
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine, adapters
from rsgrpo.rollouts.vllm.process import missing
from rsgrpo.types import Sampling
from tests.adapters import add_random_adapters
from tests.rollouts.one_vllm import STARTED
from tests.rollouts.test_laws import ROUNDING, completions_of, drawn, prompts_for, trainer_logprobs

SAMPLING = Sampling(max_new_tokens=12)
ONLY_TWO = LoRA(rank=3, alpha=8, target_modules=["q_proj", "down_proj"])


def move(policy: Policy) -> None:
    """What an update does: adapters change, and nothing else."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if ".lora_" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def gap(policy: Policy, engine: VLLMEngine) -> float:
    """The largest difference between the log-probs of engine and trainer."""
    pairs = completions_of(drawn(engine, prompts_for(policy), SAMPLING, n=2))
    return max(float((c.logprobs - trainer_logprobs(policy, p, c, 1.0)).abs().max()) for p, c in pairs)


@pytest.fixture
def engine(policy: Policy) -> Iterator[VLLMEngine]:
    """A vLLM that takes adapters; the one that other tests share ends, since a process has one at a time."""
    if (problem := missing()) is not None:
        pytest.skip(problem)
    for other in STARTED:
        other.close()
    add_random_adapters(policy, ONLY_TWO)
    made = VLLMEngine(policy=policy, kv_cache_gib=0.125, adapter=True)
    yield made
    made.close()


@pytest.mark.slow
def test_vllm_samples_from_base_and_adapters_and_gets_the_base_once(policy: Policy, engine: VLLMEngine) -> None:
    adapter_names, sent = policy.adapter_names(), []

    def load(version: int) -> None:
        sent.append(set())
        for_engine = full_tensors(policy.model, parts_of(engine))
        engine.load_policy(((sent[-1].add(name) or name, tensor) for name, tensor in for_engine), version=version)

    load(0)
    assert gap(policy, engine) < ROUNDING
    for version in (1, 2):
        move(policy)
        assert gap(policy, engine) > 0.05, "what moved says something"
        load(version)
        assert gap(policy, engine) < ROUNDING
    assert sent == [policy.weight_names() | adapter_names, adapter_names, adapter_names]
    engine.close()
    load(3)
    assert gap(policy, engine) < ROUNDING
    assert sent[-1] == sent[0], "a new engine has nothing yet"


def test_a_part_that_is_left_out_or_belongs_elsewhere_stops_the_sync_by_name(
    policy: Policy, engine: VLLMEngine
) -> None:
    part = "model.layers.1.mlp.down_proj.lora_A.weight"
    whole = list(full_tensors(policy.model, "apart"))
    with pytest.raises(RuntimeError, match=rf"missing \['{part}'\]"):
        engine.load_policy([pair for pair in whole if pair[0] != part], version=0)
    engine.load_policy(whole, version=0)
    assert engine.parts == "adapters"
    with pytest.raises(RuntimeError, match=r"unknown \['model\.norm\.weight'\]"):
        engine.load_policy([pair for pair in whole if ".lora_" in pair[0] or pair[0] == "model.norm.weight"], version=1)


class Llm:
    """Stands in for a vLLM on a GPU that takes adapters: writes down what it is told, and what it is given to read."""

    def __init__(self, layers: set[str], *, takes: bool = True) -> None:
        self.layers, self.takes = layers, takes
        self.calls: list[str] = []
        self.read: dict[str, Tensor] = {}
        self.asked: list[Any] = []

    @property
    def llm_engine(self) -> "Llm":
        return self

    def has_unfinished_requests(self) -> bool:
        return False

    def sleep(self, level: int) -> None:
        self.calls.append(f"sleep {level}")

    def wake_up(self, tags: list[str]) -> None:
        self.calls.append(f"wake {tags[0]}")

    def collective_rpc(self, method: Any, args: Any = ()) -> list[Any]:
        if method is adapters.adapted:
            return [self.layers]
        self.calls.append("load")
        list(args[0])
        return []

    def remove_lora(self, number: int) -> bool:
        self.calls.append(f"remove {number}")
        return True

    def add_lora(self, request: Any) -> bool:
        self.calls.append(f"add {request[1]}")
        self.folder = Path(request[0])
        self.read = load_file(self.folder / "adapter_model.safetensors")
        return self.takes

    def reset_prefix_cache(self) -> bool:
        self.calls.append("reset")
        return True


LAYERS = {f"model.layers.{i}.{name}" for i in range(2) for name in ("self_attn.q_proj", "mlp.down_proj")}


@pytest.fixture
def on_a_gpu(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> VLLMEngine:
    """An engine with adapters that takes this machine for one with a GPU."""
    add_random_adapters(policy, ONLY_TWO)
    monkeypatch.setattr("rsgrpo.rollouts.vllm.engine.missing", lambda: None)
    monkeypatch.setattr(adapters, "request", lambda folder: (folder, adapters.NUMBER))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (50 * 2**30, 80 * 2**30))
    engine = VLLMEngine(policy=policy, adapter=True)
    engine._llm = Llm(LAYERS)
    return engine


def test_on_a_gpu_the_host_keeps_the_base_while_the_engine_sleeps(policy: Policy, on_a_gpu: VLLMEngine) -> None:
    for version in range(2):
        on_a_gpu.load_policy(full_tensors(policy.model, on_a_gpu.parts), version=version)
        on_a_gpu.make_room()
    first = ["load", "remove 1", "add 1", "reset", "sleep 1"]
    second = ["wake weights", "remove 1", "add 1", "wake kv_cache", "reset", "sleep 1"]
    assert on_a_gpu._llm.calls == first + second


def test_vllm_reads_the_adapters_from_a_folder_that_is_gone_afterwards(policy: Policy, on_a_gpu: VLLMEngine) -> None:
    on_a_gpu.load_policy(full_tensors(policy.model, "apart"), version=0)
    expected = {f"base_model.model.{name}": tensor for name, tensor in full_tensors(policy.model, "adapters")}
    assert on_a_gpu._llm.read.keys() == expected.keys()
    assert all(torch.equal(on_a_gpu._llm.read[name], tensor) for name, tensor in expected.items())
    assert not on_a_gpu._llm.folder.exists()


def test_vllm_has_to_take_the_adapters_and_to_have_a_layer_for_each(policy: Policy, on_a_gpu: VLLMEngine) -> None:
    on_a_gpu._llm = Llm(LAYERS, takes=False)
    with pytest.raises(RuntimeError, match="did not take the policy's adapters"):
        on_a_gpu.load_policy(full_tensors(policy.model, "apart"), version=0)
    on_a_gpu._llm = Llm(LAYERS - {"model.layers.1.mlp.down_proj"})
    with pytest.raises(RuntimeError, match=r"has no adapters for \['model\.layers\.1\.mlp\.down_proj'\]"):
        on_a_gpu.load_policy(full_tensors(policy.model, "adapters"), version=0)


def test_vllm_makes_room_for_the_rank_in_the_adapted_layers_alone(on_a_gpu: VLLMEngine) -> None:
    expected = {"enable_lora": True, "max_loras": 1, "max_lora_rank": 8, "lora_target_modules": ["q_proj", "down_proj"]}
    given = on_a_gpu._settings(ranks=1)
    assert given | expected == given
    on_a_gpu.adapter = False
    assert "enable_lora" not in on_a_gpu._settings(ranks=1)


@pytest.mark.parametrize(("rank", "given"), [(1, 1), (2, 8), (16, 16), (100, 128), (512, 512)])
def test_the_rank_is_one_that_vllm_has_room_for(rank: int, given: int) -> None:
    shape = adapters.AdapterShape(rank=rank, alpha=8.0, layers=("q_proj",))
    assert adapters.settings(shape)["max_lora_rank"] == given


def test_a_policy_without_adapters_or_with_large_ones_is_refused(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FieldError, match=r"adapter=True needs a policy with LoRA adapters; try adapter=False"):
        VLLMEngine(policy=policy, adapter=True)
    add_random_adapters(policy)
    monkeypatch.setattr(adapters, "RANKS", (1, 2))
    with pytest.raises(FieldError, match="adapter=True cannot send adapters of rank 4, as vLLM takes 2"):
        VLLMEngine(policy=policy, adapter=True)


def test_other_engines_get_merged_weights(policy: Policy) -> None:
    assert parts_of(HFEngine(policy=policy)) == "merged"

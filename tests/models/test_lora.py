"""Adapters are trained, and the rest of the world sees an ordinary policy."""

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.errors import FieldError, UserError
from rsgrpo.models.lora import LoRA, plain_name
from rsgrpo.models.policy import Policy
from rsgrpo.training.export import save_policy
from rsgrpo.training.optimizer import AdamW
from tests.adapters import add_random_adapters
from tests.models.test_policy import MIXED, any_policy, row_of, separately

__all__ = ["any_policy"]  # a fixture: policies with and without biases, with a head of their own and a tied one

ROW = row_of(MIXED)
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def snapshot(policy: Policy) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in policy.model.named_parameters()}


def adapted_layers(policy: Policy) -> dict[str, LoraLayer]:
    return {name: module for name, module in policy.model.named_modules() if isinstance(module, LoraLayer)}


def backward(policy: Policy) -> Tensor:
    logprobs = policy(ROW, 1.0).logprobs
    logprobs.sum().backward()
    return logprobs.detach()


def test_at_first_the_policy_is_its_base(any_policy: Policy) -> None:
    weights, logprobs = snapshot(any_policy), any_policy(ROW, 1.0).logprobs
    any_policy.add_adapters(LoRA(rank=4), seed=0)
    torch.testing.assert_close(any_policy(ROW, 1.0).logprobs, logprobs)
    streamed = list(full_tensors(any_policy.model))
    assert [name for name, _ in streamed] == list(weights), "names and order of the plain policy"
    assert all(torch.equal(tensor, weights[name]) for name, tensor in streamed)


def test_what_is_sent_apart_is_what_would_be_merged(any_policy: Policy) -> None:
    base = snapshot(any_policy)
    add_random_adapters(any_policy)
    apart, alone = (dict(full_tensors(any_policy.model, parts)) for parts in ("apart", "adapters"))
    assert alone.keys() == any_policy.adapter_names()
    assert apart.keys() == base.keys() | alone.keys()
    assert all(torch.equal(apart[name], alone[name]) for name in alone)
    shape = any_policy.adapter_shape()
    assert shape is not None
    assert (shape.rank, shape.alpha) == (4, 8)
    adapted = {name.partition(".lora_")[0] for name in alone}
    assert {name.rpartition(".")[2] for name in adapted} == set(shape.layers)
    for name, merged in full_tensors(any_policy.model):
        expected, layer = base[name], name.removesuffix(".weight")
        assert torch.equal(apart[name], expected)
        if layer in adapted:
            product = alone[f"{layer}.lora_B.weight"] @ alone[f"{layer}.lora_A.weight"]
            expected = expected + shape.alpha / shape.rank * product
        torch.testing.assert_close(merged, expected)


def test_a_policy_without_adapters_has_no_shape_of_them(any_policy: Policy) -> None:
    assert any_policy.adapter_shape() is None
    assert any_policy.adapter_names() == set()
    assert list(full_tensors(any_policy.model, "adapters")) == []


def test_only_adapters_are_trained(any_policy: Policy) -> None:
    base = snapshot(any_policy)
    any_policy.add_adapters(LoRA(rank=4), seed=0)
    optimizer, _ = AdamW(lr=1e-2, weight_decay=0.1).build(any_policy.parameters(), updates=1)
    for _ in range(2):  # the gradient of A is zero as long as B is
        optimizer.zero_grad()
        backward(any_policy)
        optimizer.step()
    layers = adapted_layers(any_policy)
    assert len(layers) == 2 * len(LAYERS)
    trained = {name for name, parameter in any_policy.model.named_parameters() if parameter.grad is not None}
    assert trained == {f"{name}.{part}.default.weight" for name in layers for part in ("lora_A", "lora_B")}
    assert len(optimizer.state) == len(trained), "no moments of what is frozen"
    for name, parameter in any_policy.model.named_parameters():
        if name in trained:
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 0, name
        else:
            assert torch.equal(parameter, base[str(plain_name(name))]), name


def test_the_stream_is_what_peft_merges(any_policy: Policy) -> None:
    names, base = any_policy.weight_names(), snapshot(any_policy)
    add_random_adapters(any_policy)
    before, merged = snapshot(any_policy), copy.deepcopy(any_policy)
    for layer in adapted_layers(merged).values():
        layer.merge()
    expected = {str(plain_name(name)): p for name, p in merged.model.named_parameters() if plain_name(name)}
    streamed = dict(full_tensors(any_policy.model))
    assert streamed.keys() == expected.keys() == names == any_policy.weight_names()
    for name, tensor in streamed.items():
        torch.testing.assert_close(tensor, expected[name].detach(), atol=1e-7, rtol=1e-6)
        adapted = any(f".{layer}.weight" in name for layer in LAYERS)
        assert torch.equal(tensor, base[name]) != adapted, name
        assert not tensor.requires_grad
    after = snapshot(any_policy)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_weights_are_merged_in_float32_wherever_that_happens(policy: Policy) -> None:
    """A training step syncs inside autocast."""
    add_random_adapters(policy)
    exact = dict(full_tensors(policy.model))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name, tensor in full_tensors(policy.model):
            torch.testing.assert_close(tensor, exact[name], msg=name)


def test_the_exported_policy_says_what_the_trained_one_says(any_policy: Policy, tmp_path: Path) -> None:
    base = any_policy(ROW, 0.7).logprobs
    add_random_adapters(any_policy)
    trained = any_policy(ROW, 0.7).logprobs
    assert (trained - base).abs().max() > 0.1, "the adapters say something"
    save_policy(any_policy, tmp_path / "policy")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    logprobs, _ = separately(plain, MIXED, 0.7)
    torch.testing.assert_close(trained, logprobs, atol=1e-5, rtol=1e-5)


def test_an_exported_folder_holds_no_trace_of_adapters(policy: Policy, tmp_path: Path) -> None:
    policy.save_pretrained(tmp_path / "before")
    add_random_adapters(policy)
    save_policy(policy, tmp_path / "after")
    before, after = ({file.name: file for file in (tmp_path / name).iterdir()} for name in ("before", "after"))
    assert before.keys() == after.keys()
    for name in before.keys() - {"model.safetensors"}:
        assert before[name].read_bytes() == after[name].read_bytes(), name


def test_unmerged_weights_are_not_written(policy: Policy, tmp_path: Path) -> None:
    add_random_adapters(policy)
    with pytest.raises(RuntimeError, match="save_policy"):
        policy.save_pretrained(tmp_path / "policy")


def drawn(policy: Policy, seed: int) -> dict[str, Tensor]:
    """The matrices A of new adapters, whatever state PyTorch's own generator is in."""
    again = copy.deepcopy(policy)
    torch.rand(1)
    state = torch.get_rng_state()
    again.add_adapters(LoRA(rank=4), seed=seed)
    assert torch.equal(torch.get_rng_state(), state), "and that is left as it was"
    return {name: tensor for name, tensor in snapshot(again).items() if ".lora_A." in name}


def test_the_seed_alone_decides_what_adapters_are_drawn(policy: Policy) -> None:
    first, same, other = drawn(policy, 0), drawn(policy, 0), drawn(policy, 1)
    assert len(first) == 2 * len(LAYERS)
    assert all(torch.equal(tensor, same[name]) for name, tensor in first.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_adapters_are_drawn_as_peft_draws_them_each_layer_its_own(policy: Policy) -> None:
    tensors = [tensor for tensor in drawn(policy, 0).values() if tensor.shape == (4, 64)]
    assert not torch.equal(tensors[0], tensors[1])
    largest = max(float(tensor.abs().max()) for tensor in tensors)
    assert 0.99 / 64**0.5 < largest <= 1 / 64**0.5, "uniform within 1 / sqrt(inputs)"


def test_chosen_layers_get_adapters_and_the_others_are_frozen(policy: Policy) -> None:
    policy.add_adapters(LoRA(rank=2, target_modules=["v_proj", "down_proj"]), seed=0)
    assert {name.rpartition(".")[2] for name in adapted_layers(policy)} == {"v_proj", "down_proj"}
    trained = [name for name, parameter in policy.model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 8  # A and B of two layers in two decoder layers
    assert all(".lora_" in name for name in trained)


def test_neither_embeddings_nor_head_get_adapters(any_policy: Policy) -> None:
    any_policy.add_adapters(LoRA(rank=2), seed=0)
    assert {name.rpartition(".")[2] for name in adapted_layers(any_policy)} == set(LAYERS)
    assert type(any_policy.model.get_output_embeddings()) is nn.Linear


@pytest.mark.parametrize("name", ["q_prj", "lm_head", "embed_tokens", "mlp"])
def test_a_layer_that_gets_no_adapter_is_refused_with_those_that_may(policy: Policy, name: str) -> None:
    with pytest.raises(
        FieldError, match=rf"^target_modules=\[v_proj,{name}\] has no linear layer {name}; choose from q_"
    ):
        policy.add_adapters(LoRA(rank=2, target_modules=["v_proj", name]), seed=0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rank": 0}, "rank=0 must be at least 1"),
        ({"rank": 2, "alpha": 0}, "alpha=0 must be at least"),
        ({"rank": 2, "target_modules": "all"}, r"target_modules=all must list names .*; try target_modules=\[q_proj"),
        ({"rank": 2, "target_modules": []}, r"target_modules=\[\] must list names"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError, match=says):
        LoRA(**settings)


def test_without_peft_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^LoRA: peft is not installed; pip install 'rsgrpo\[lora\]'$"):
        LoRA(rank=2)

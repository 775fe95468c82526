"""Bytes of a training row: the real policy's forward and backward pass, on tensors that have sizes and no values.

PyTorch's fake tensors go through the very operations of a run, autocast included, and take no memory; the live ones are
counted (`live_bytes`). One and two layers say what each further layer takes, since all layers are alike.
"""

import functools
import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rsgrpo.models.attention import OF_A_GPU
from rsgrpo.models.lora import LoRA
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_tokenizer
from rsgrpo.planning.architecture import Architecture
from rsgrpo.planning.live_bytes import LiveBytes, saved_bytes
from rsgrpo.types import PackedRow


class Way(NamedTuple):
    """How a row is computed."""

    tokens: int
    """Of the row."""
    sequences: int
    """In the row, equally long."""
    chunk_tokens: int
    checkpointing: bool
    autocast: bool = False
    """Compute in bfloat16 whatever the weights are in."""
    weights: torch.dtype = torch.float32
    """Of those that are trained."""
    lora: LoRA | None = None
    gathered: torch.dtype | None = None
    """The weights are shards of FSDP2, gathered in this type: a layer's gradient is gone once it is reduced."""
    entropy_gradient: bool = False
    of_a_gpu: bool = False
    """Variable-length attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBytes:
    """Bytes beside what is there before the row: weights and, from the second row of an update on, gradients."""

    saved: float
    """What autograd keeps for the backward pass, parameters left out."""
    kept: float
    """What is alive between forward and backward: that, and the results."""
    head: float
    """The most that is alive until the gradient has passed the output head."""
    layers: float
    """The most that is alive afterwards, in the backward pass of the layers."""

    @property
    def peak(self) -> float:
        return max(self.head, self.layers)

    def further(self, more: "RowBytes", layers: int) -> "RowBytes":
        """With `layers` more layers, where `more` has one more."""
        names = RowBytes.__dataclass_fields__
        return RowBytes(**{n: getattr(self, n) + layers * (getattr(more, n) - getattr(self, n)) for n in names})


class TwoRows(NamedTuple):
    """The first row of an update, in whose backward pass gradients come into being, and any further one."""

    first: RowBytes
    further: RowBytes


def row_bytes(architecture: Architecture, way: Way) -> TwoRows:
    """Of the model with all its layers."""
    one, two = (_traced(architecture, way, layers) for layers in (1, 2))
    more = architecture.layers - 1
    return TwoRows(*(few.further(many, more) for few, many in zip(one, two, strict=True)))


@functools.lru_cache(maxsize=256)
def _traced(architecture: Architecture, way: Way, layers: int) -> TwoRows:
    with torch.device("meta"):
        policy = policy_of(architecture.build(layers), way)
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
        _give_fake_tensors(policy)
        prepare(policy, way)
        row = row_of(way, policy.device)
        gc.collect()
        return TwoRows(*(measure_row(policy, row, way, live) for _ in range(2)))


def policy_of(model: PreTrainedModel, way: Way) -> Policy:
    """The policy that a run would train, in the types that `way` says; with any tokenizer, since a row needs none."""
    policy = Policy(model, _any_tokenizer(), chunk_tokens=way.chunk_tokens)
    if way.lora is not None:
        way.lora.freeze_and_adapt(policy.model)
    policy.keep_weights_in(way.weights)
    if way.gathered is not None:
        for parameter in policy.parameters():
            parameter.data = parameter.data.to(way.gathered)
    return policy


@functools.cache
def _any_tokenizer() -> PreTrainedTokenizerBase:
    return build_tokenizer()


def _give_fake_tensors(policy: Policy) -> None:
    """In place of those of the meta device, for which there is no autocast; tied ones stay tied."""
    given: dict[int, Any] = {}

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in given:
            empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
            trained = tensor.requires_grad
            given[id(tensor)] = nn.Parameter(empty, trained) if isinstance(tensor, nn.Parameter) else empty
        return given[id(tensor)]

    for module in policy.modules():
        for tensors in cast(list[dict[str, Any]], [module._parameters, module._buffers]):
            tensors.update({name: fake(tensor) for name, tensor in tensors.items() if tensor is not None})


def prepare(policy: Policy, way: Way) -> None:
    """Compute the policy's layers as `way` says."""
    if way.checkpointing:
        policy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if way.of_a_gpu:
        policy.model.set_attn_implementation(OF_A_GPU)
    if way.gathered is not None:
        for layer in policy.layers:
            for parameter in layer.parameters():
                if parameter.requires_grad:
                    parameter.register_post_accumulate_grad_hook(_forget_gradient)


def _forget_gradient(parameter: Tensor) -> None:
    parameter.grad = None


def row_of(way: Way, device: torch.device) -> PackedRow:
    """A full row of sequences that are equally long, all of whose tokens are loss tokens but the first of each."""
    each, longer = divmod(way.tokens, way.sequences)
    lengths = tuple(each + (i < longer) for i in range(way.sequences))
    targets = way.tokens - way.sequences
    of_tokens = torch.zeros(way.tokens, dtype=torch.long, device=device)
    of_targets = torch.zeros(targets, dtype=torch.long, device=device)
    numbers = torch.zeros(targets, device=device)
    return PackedRow(
        token_ids=of_tokens,
        position_ids=of_tokens,
        lengths=lengths,
        target_index=of_targets,
        target_ids=of_targets,
        sequence_of_target=of_targets,
        advantages=numbers,
        weights=numbers,
        sampler_logprobs=numbers,
    )


def measure_row(policy: Policy, row: PackedRow, way: Way, live: LiveBytes) -> RowBytes:
    """Forward and backward of one row, whose gradients stay: with fake tensors, or with real ones on the CPU."""
    for parameter in policy.parameters():  # what is there already would count as new when it is first written to
        live.see(parameter)
        if parameter.grad is not None:
            live.see(parameter.grad)
    before = live.live
    live.restart()
    head: list[int] = []
    with ExitStack() as stack:
        stack.enter_context(_told(policy, lambda: head.append(live.restart())))
        saved = stack.enter_context(saved_bytes(without=list(policy.parameters())))
        if way.autocast:
            stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False))
        tokens = policy(row, 1.0, entropy_gradient=way.entropy_gradient)
    bytes_saved, kept = sum(saved.values()), live.live - before
    loss = tokens.logprobs + tokens.entropy if way.entropy_gradient else tokens.logprobs
    (loss * row.weights).sum().backward()
    if way.gathered is not None:  # the others are reduced at the end of each row
        for parameter in policy.parameters():
            parameter.grad = None
    return RowBytes(saved=bytes_saved, kept=kept, head=head[0] - before, layers=live.peak - before)


@contextmanager
def _told(policy: Policy, call: Any) -> Iterator[None]:
    """Calls `call` as soon as the gradient of the decoder's output is complete."""

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        output.last_hidden_state.register_hook(lambda _: call())

    handle = cast(nn.Module, policy.model.get_decoder()).register_forward_hook(watch)
    try:
        yield
    finally:
        handle.remove()

"""How vLLM's model gets the policy's weights, loses them at the end, and how closely its log-probs have to follow."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from rsgrpo.models.lora import Parts
from rsgrpo.models.policy import Policy

BOUNDS = {"float32": 1e-4, "tfloat32": 0.02, "bfloat16": 0.2}
"""Largest mean |sampler - trainer| log-prob, in nats, that rounding explains. The largest of single tokens, measured
with random weights (benchmarks/gpu_smoke): on a CPU 1e-6 in float32; in bfloat16 .003 at 0.2 million parameters and
.033 at 596 million. On an H200, at 596 million: .027 in bfloat16, and .0009 in float32, where vLLM's attention
multiplies in TF32."""


def send(llm: Any, weights: Iterable[tuple[str, Tensor]], policy: Policy, parts: Parts) -> dict[str, Tensor]:
    """Fill vLLM's model with the stream as it comes.

    Returns:
        The parts of adapters that were in it, which are not for the model.

    Raises:
        RuntimeError: when the stream is not exactly what `parts` says of the policy, or vLLM did not take all of it.
    """
    of_adapters = set() if parts == "merged" else policy.adapter_names()
    seen, adapter = set(), {}
    others = apart(noting(weights, seen), of_adapters, adapter)
    if parts == "adapters":
        deque(others, maxlen=0)
        check_names(seen, expected=of_adapters, allowed=of_adapters)
        return adapter
    llm.collective_rpc(reload, args=(others,))
    expected, allowed = policy.weight_names(), policy.weight_names(tied=True)
    check_names(seen, expected=expected | of_adapters, allowed=allowed | of_adapters)
    return adapter


def apart(
    stream: Iterable[tuple[str, Tensor]], names: set[str], adapter: dict[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """The stream without the tensors of these names, which are put into `adapter`."""
    for name, tensor in stream:
        if name in names:
            adapter[name] = tensor
        else:
            yield name, tensor


def noting(weights: Iterable[tuple[str, Tensor]], seen: set[str]) -> Iterator[tuple[str, Tensor]]:
    """The stream as it is; its names are added to `seen`."""
    for name, tensor in weights:
        seen.add(name)
        yield name, tensor


def check_names(seen: set[str], *, expected: set[str], allowed: set[str]) -> None:
    """Hold the names of a stream to the policy's.

    Args:
        seen: what came.
        expected: what has to come.
        allowed: what may come, with the other names of tied weights.

    Raises:
        RuntimeError: when one is missing or unknown.
    """
    if seen - allowed or expected - seen:
        raise RuntimeError(
            f"vLLM got other weights than the policy has: missing {sorted(expected - seen)}, unknown "
            f"{sorted(seen - allowed)}"
        )


def reload(worker: Any, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Runs in vLLM's worker: fill its model, which joins several of the policy's tensors into one of its own.

    Raises:
        RuntimeError: when a parameter of vLLM's model got nothing, which vLLM itself only logs.
    """
    model = worker.model_runner.get_model()
    # A layer that takes adapters holds what it was before as `base_layer`, and takes weights under its plain name.
    wanted, taken = {name.replace(".base_layer.", ".") for name, _ in model.named_parameters()}, set()
    load_weights = model.load_weights

    def noting_what_is_taken(stream: Iterable[tuple[str, Tensor]]) -> set[str]:
        taken.update(load_weights(stream))
        return taken

    model.load_weights = noting_what_is_taken
    try:
        worker.reload_weights(weights_iterator=weights)
    finally:
        del model.load_weights
    if wanted - taken:
        raise RuntimeError(f"vLLM's model got no weights for {sorted(wanted - taken)}")
    for module in model.modules():
        # On a CPU an output head that is tied to the embeddings has a packed copy of them, which vLLM forgets to renew.
        if hasattr(module, "cpu_linear") and module.weight.numel():
            module.quant_method.process_weights_after_loading(module)


def drop(worker: Any) -> None:
    """Runs in vLLM's worker before its end: references to its parameters outlive it, their memory must not."""
    model = worker.model_runner.get_model()
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)

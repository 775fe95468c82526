"""The policy's weights laid out over the ranks by FSDP2, and gathered again for whoever needs whole tensors."""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystem
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from rsgrpo.batching.packing import empty_row
from rsgrpo.models.files import local_folder, safetensors_of
from rsgrpo.models.layout import Layout
from rsgrpo.models.lora import Adapter, Parts, adapter_name, plain_name, plain_parameters
from rsgrpo.models.policy import Policy
from rsgrpo.models.weights import check_finite


@dataclass(frozen=True, slots=True)
class Sharded:
    """The layout of FSDP2: a part of every weight on each rank."""

    modules: Sequence[nn.Module]
    """The modules that FSDP2 gathers as one: each layer, and the policy with everything outside of the layers."""

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Gather every weight on every rank once, and leave FSDP out of the forward passes inside.

        Ranks that sample need different numbers of passes. FSDP's hooks would gather in each of them, and remember
        their order for the next backward pass, in which the ranks would then wait for one another for ever.
        """
        hooks = [(module._forward_pre_hooks, module._forward_hooks) for module in self.modules]
        for module in self.modules:
            cast(FSDPModule, module).unshard()
            module._forward_pre_hooks, module._forward_hooks = OrderedDict(), OrderedDict()
        try:
            yield
        finally:
            for module, (before, after) in zip(self.modules, hooks, strict=True):
                module._forward_pre_hooks, module._forward_hooks = before, after
                cast(FSDPModule, module).reshard()


@dataclass(frozen=True, slots=True)
class Compiled:
    """The layout of compiled layers, wherever their weights are."""

    weights: Layout

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Not compiled inside: the shapes of sampling change with every step, and each would be compiled anew."""
        with self.weights.whole(), torch.compiler.set_stance("force_eager"):
            yield


@dataclass(slots=True, kw_only=True)
class Sharding:
    """How the layers of the policy are laid out and computed. Changes memory and speed, never what is trained."""

    compute_dtype: torch.dtype | None = None
    """Type of the gathered weights and of the activations under FSDP2; the shards, the reduced gradients and the
    optimiser stay float32. None computes in the type of the shards."""
    activation_checkpointing: bool = False
    """Keep only the inputs of each layer for the backward pass, and compute the rest again."""
    compile: bool = False
    """`torch.compile` each layer (without its attention, whose blocks change with every row)."""
    cpu_offload: bool = False
    """Weights, gradients and the optimiser's state lie in the host's memory; each layer is brought to the GPU when it
    is computed."""
    applied: bool = field(default=False, init=False)

    def apply(self, policy: Policy, mesh: DeviceMesh | None) -> None:
        """Prepare the layers once, and with a `mesh` shard them over its data-parallel ranks and load the shards."""
        if self.applied:
            return
        self.applied = True
        if self.activation_checkpointing:
            policy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if self.compile:
            for layer in policy.layers:
                layer.compile(dynamic=True)
            policy.statistics = torch.compile(policy.statistics, dynamic=True)
        if mesh is not None:
            self._shard(policy, mesh["data_parallel"])
        if self.compile:
            policy.layout = Compiled(policy.layout)

    def _shard(self, policy: Policy, mesh: DeviceMesh) -> None:
        on_gpu = mesh.device_type == "cuda"
        device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        precision = MixedPrecisionPolicy(param_dtype=self.compute_dtype, reduce_dtype=torch.float32)
        away = CPUOffloadPolicy(pin_memory=on_gpu) if self.cpu_offload else OffloadPolicy()
        for layer in policy.layers:
            fully_shard(layer, mesh=mesh, mp_policy=precision, offload_policy=away)
        # What is not a layer (embeddings, last norm, head) is gathered for the whole of `Policy.forward`.
        fully_shard(policy, mesh=mesh, mp_policy=precision, offload_policy=away)
        for module in _sharded(policy):
            # Token weights already count the tokens of all ranks: gradients are summed, not averaged.
            cast(FSDPModule, module).set_gradient_divide_factor(1.0)
            cast(FSDPModule, module).set_force_sum_reduction_for_comms(True)
        if policy.is_on_meta:
            policy.materialise(torch.device("cpu") if self.cpu_offload else device)
            for module in policy.modules():  # FSDP2 leaves buffers where they are
                module._buffers.update({name: b.to(device) for name, b in module._buffers.items() if b is not None})
            load_shards(policy)
            with torch.no_grad():
                for parameter, value in policy.first_adapters():
                    parameter.copy_(_laid_out_like(parameter, value))
        policy.layout = Sharded(_sharded(policy))
        policy.compute_device = device
        with torch.no_grad():
            policy(empty_row(policy.device), 1.0)  # the first forward of the root ties the layers' states to it
        cast(FSDPModule, policy).reshard()


def load_shards(policy: Policy) -> None:
    """Read this rank's part of every tensor from the safetensors files of the policy's folder, and nothing else.

    `Policy.from_pretrained` has compared their names and shapes with the model's.

    Raises:
        UserError: when they hold values that are not finite numbers.
    """
    wanted = {name: parameter for name, parameter, _ in plain_parameters(policy.model)}
    load(wanted | dict(policy.persistent_buffers()), storage_reader=shard_reader(local_folder(policy.source)))
    check_finite(policy.source, ((n, t.to_local() if isinstance(t, DTensor) else t) for n, t in wanted.items()))


def shard_reader(folder: Path) -> HuggingFaceStorageReader:
    """Reads the files that transformers would read, and not what an earlier save has left beside them."""
    reader = HuggingFaceStorageReader(str(folder))
    reader.fs = _Only(safetensors_of(folder))
    return reader


class _Only(FileSystem):
    """A folder of which only `files` are seen."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def ls(self, path: str | os.PathLike[str]) -> list[str]:
        return [str(file) for file in self.files]


def full_tensor(tensor: Tensor) -> Tensor:
    """The whole of a tensor of which this rank may hold a part: a collective if it does."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def full_tensors(model: nn.Module, parts: Parts = "merged") -> Iterator[tuple[str, Tensor]]:
    """(Hugging Face name, whole tensor) of every parameter, gathered one after another, adapters merged into theirs.

    A sharded parameter is gathered when it is asked for: whoever keeps none has one more tensor in memory at most,
    two while an adapter is merged. All ranks have to walk through together.

    Args:
        model: with or without adapters.
        parts: "apart" gives the parts of adapters under names of their own (`adapter_name`), and the other parameters
            without them; "adapters" gives the former alone.
    """
    if parts != "merged":
        for name, parameter in model.named_parameters():
            own, plain = adapter_name(name), plain_name(name)
            if own is not None:
                yield own, full_tensor(parameter.detach())
            elif plain is not None and parts == "apart":
                yield plain, full_tensor(parameter.detach())
        return
    for name, parameter, adapter in plain_parameters(model):
        local = parameter.detach()
        if adapter is not None:
            yield name, _merged(local, adapter).to(local.dtype)
        else:
            yield name, full_tensor(local)


@torch.no_grad()
def _merged(weight: Tensor, adapter: Adapter) -> Tensor:
    """A new whole tensor, computed in float32 even inside autocast, under which a training step syncs."""
    with torch.autocast(weight.device.type, enabled=False):
        w, a, b = (full_tensor(part).float() for part in (weight, adapter.a, adapter.b))
        return torch.addmm(w, b, a, alpha=adapter.scale)


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """This rank's part of `value`, which all ranks hold: nothing travels."""
    if not isinstance(parameter, DTensor):
        return value
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def _sharded(policy: Policy) -> list[nn.Module]:
    return [module for module in policy.modules() if isinstance(module, FSDPModule)]

"""LoRA: low-rank matrices beside frozen linear layers are what is trained (https://arxiv.org/abs/2106.09685).

peft puts the adapters in and computes with them. Its names and its parts stay in here: outside, a weight W with
adapters A and B is one tensor W + alpha / rank B A under its plain Hugging Face name.
"""

import importlib.util
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.seeds import derive_seed

NAME = "default"
"""peft's name of the one adapter that a layer has."""

Parts = Literal["merged", "apart", "adapters"]
"""What an engine is sent of a policy with adapters: weights with them merged in; both, apart; or adapters alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoRA:
    """Adapters for the linear layers of the decoder; the output head and the embeddings, often one tensor, have none.

    There is no dropout: the policy that is trained has to be the one that is sampled.

    Raises:
        FieldError: for a value outside its range.
        UserError: where peft is not installed.
    """

    rank: int
    """Columns of B and rows of A."""
    alpha: float = 32.0
    """B A counts alpha / rank times, so that the learning rate hardly depends on the rank."""
    target_modules: Sequence[str] | None = None
    """Last names of the layers that get adapters, such as q_proj; None is all of them."""
    base_dtype: Literal["float32", "bfloat16"] | None = None
    """Of the frozen weights, which no update changes; None leaves them as they are. Adapters stay in float32."""

    def __post_init__(self) -> None:
        names: Any = self.target_modules
        are_names = isinstance(names, list | tuple) and len(names) and all(isinstance(name, str) for name in names)
        if names is not None and not are_names:
            raise FieldError(
                "target_modules", names, "must list names of linear layers", "try target_modules=[q_proj,v_proj]"
            )
        check_fields(self, rank=(1, math.inf), alpha=(1e-12, math.inf))
        if importlib.util.find_spec("peft") is None:
            raise UserError("LoRA: peft is not installed; pip install 'rsgrpo[lora]'")

    def freeze_and_adapt(self, model: PreTrainedModel) -> None:
        """Freeze every parameter of `model`, and put adapters in, whose values are still to be set (`first_values`).

        Raises:
            FieldError: for a name that no linear layer of the decoder has, or a rank that is not low.
        """
        from peft import LoraConfig, inject_adapter_in_model

        layers = cast(nn.ModuleList, model.get_decoder().layers)
        linear = {name.rpartition(".")[2]: None for name, m in layers.named_modules() if isinstance(m, nn.Linear)}
        wanted = list(linear if self.target_modules is None else self.target_modules)
        unknown = [name for name in wanted if name not in linear]
        if unknown:
            choices = ", ".join(linear)
            raise FieldError(
                "target_modules", f"[{','.join(wanted)}]", f"has no linear layer {unknown[0]}", f"choose from {choices}"
            )
        adapted = (m for n, m in layers.named_modules() if n.rpartition(".")[2] in wanted and isinstance(m, nn.Linear))
        smallest = min(min(layer.in_features, layer.out_features) for layer in adapted)
        if self.rank > smallest:
            raise FieldError(
                "rank", self.rank, f"is more than the {smallest} of the smallest layer", f"try rank={min(16, smallest)}"
            )
        model.requires_grad_(False)
        config = LoraConfig(r=self.rank, lora_alpha=cast(int, self.alpha), target_modules=wanted)
        with torch.random.fork_rng(devices=[]):  # peft draws values of its own
            inject_adapter_in_model(config, model, NAME)
        if self.base_dtype is not None:
            for parameter in model.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(getattr(torch, self.base_dtype))


def first_values(model: nn.Module, seed: int) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """(parameter, its value before training) of every adapter: A uniform as in peft, B zero.

    A function of seed and name alone, so that all ranks draw the same, and the same as a single process.
    """
    for name, parameter in model.named_parameters():
        if ".lora_A." in name:
            generator = torch.Generator().manual_seed(derive_seed(seed, "lora", name))
            bound = 1 / math.sqrt(parameter.shape[1])
            yield parameter, torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
        elif ".lora_B." in name:
            yield parameter, torch.zeros(parameter.shape)


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Inside this context the model computes as if it had no adapters: their output is scaled by 0."""
    adapted: list[Any] = [module for module in model.modules() if hasattr(module, "lora_A")]
    scales = [module.scaling[NAME] for module in adapted]
    for module in adapted:
        module.scaling[NAME] = 0.0
    try:
        yield
    finally:
        for module, scale in zip(adapted, scales, strict=True):
            module.scaling[NAME] = scale


class Adapter(NamedTuple):
    """What is added to a weight: scale * b @ a."""

    a: Float[Tensor, "r inputs"]
    b: Float[Tensor, "outputs r"]
    scale: float


def plain_name(name: str) -> str | None:
    """The Hugging Face name of a parameter, None for a part of an adapter.

    >>> plain_name("mlp.up_proj.base_layer.weight"), plain_name("mlp.up_proj.lora_A.default.weight")
    ('mlp.up_proj.weight', None)
    """
    return None if ".lora_" in name else name.replace(".base_layer.", ".")


def adapter_name(name: str) -> str | None:
    """The name of a part of an adapter in the files of adapters, None for any other parameter.

    >>> adapter_name("mlp.up_proj.lora_A.default.weight"), adapter_name("mlp.up_proj.base_layer.weight")
    ('mlp.up_proj.lora_A.weight', None)
    """
    return name.replace(f".{NAME}.", ".") if ".lora_" in name else None


class AdapterShape(NamedTuple):
    """What all adapters of a model have in common, and which layers have one."""

    rank: int
    alpha: float
    layers: tuple[str, ...]
    """Last parts of their names, such as q_proj."""


def adapter_shape(model: nn.Module) -> AdapterShape | None:
    """None for a model without adapters."""
    adapted: dict[str, Any] = {n.rpartition(".")[2]: m for n, m in model.named_modules() if hasattr(m, "lora_A")}
    if not adapted:
        return None
    layer = next(iter(adapted.values()))
    return AdapterShape(layer.r[NAME], layer.lora_alpha[NAME], tuple(adapted))


def plain_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, Adapter | None]]:
    """(Hugging Face name, parameter without its adapter, adapter if it has one), in the order of the plain model."""
    for name, parameter in model.named_parameters():
        plain = plain_name(name)
        if plain is None:
            continue
        adapter = None
        if name.endswith(".base_layer.weight"):
            layer: Any = model.get_submodule(name.removesuffix(".base_layer.weight"))
            adapter = Adapter(layer.lora_A[NAME].weight, layer.lora_B[NAME].weight, layer.scaling[NAME])
        yield plain, parameter, adapter

"""What a model is made of, without its weights: from its own configuration, or from a description that we ship."""

import copy
import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from rsgrpo.errors import UserError
from rsgrpo.models.files import CAUSAL, naming

SHIPPED = files("rsgrpo.planning") / "architectures"
"""The facts of the config.json of known models, for plans on a machine that has neither the model nor the hub."""


@dataclass(frozen=True, eq=False)
class Architecture:
    """A causal language model's configuration. Two of them are equal only if they are the same object."""

    config: PreTrainedConfig
    source: str
    """Where the configuration comes from, in words."""

    def build(self, layers: int | None = None) -> PreTrainedModel:
        """The model in float32 on the device that is in force, with all its layers or as many as are asked for."""
        config = copy.deepcopy(self.config)
        if layers is not None:
            config.num_hidden_layers = layers
            if kinds := getattr(config, "layer_types", None):
                config.layer_types = [kinds[i % len(kinds)] for i in range(layers)]
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)

    @property
    def layers(self) -> int:
        """Its depth."""
        return int(self.config.num_hidden_layers)

    @property
    def vocabulary(self) -> int:
        """Rows of the embeddings."""
        return int(self.config.vocab_size)

    @property
    def cached_numbers(self) -> int:
        """Keys and values of a token in all layers."""
        heads = getattr(self.config, "num_key_value_heads", None) or self.config.num_attention_heads
        size = getattr(self.config, "head_dim", None) or self.config.hidden_size // self.config.num_attention_heads
        return int(2 * self.layers * heads * size)

    @functools.cached_property
    def parameters(self) -> dict[str, torch.Size]:
        """The shape of each parameter, by name; a tied one once. Of the model built without memory, so exact."""
        with torch.device("meta"):
            model = self.build()
        return {name: parameter.shape for name, parameter in model.named_parameters()}

    @functools.cached_property
    def layer_parameters(self) -> int:
        """Parameters of one decoder layer, the largest."""
        with torch.device("meta"):
            decoder = self.build(1).get_decoder()
        layers: nn.ModuleList = decoder.layers  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]
        return max(sum(p.numel() for p in layer.parameters()) for layer in layers)


def architecture_of(path: str) -> Architecture:
    """Of a folder, of a model that is cached or on the hub, or else of one that we ship a description of.

    Raises:
        UserError: for a folder whose configuration cannot be read, and for a model that is nowhere.
    """
    if Path(path).expanduser().is_dir():
        return Architecture(_read(str(Path(path).expanduser())), f"the configuration in {path}")
    if isinstance(try_to_load_from_cache(path, "config.json"), str):
        return Architecture(_read(path, local_files_only=True), f"the cached configuration of {path}")
    if path in shipped():
        return Architecture(_shipped(path), f"the description of {path} that comes with rsgrpo")
    try:
        return Architecture(_read(path), f"the hub's configuration of {path}")
    except UserError as error:
        raise UserError(
            f"model.path={path}: its configuration is neither a folder here nor to be had from the hub, and no "
            f"description of it comes with rsgrpo (there are {', '.join(shipped())}); give a folder that holds its "
            "config.json with model.path=/path/to/folder"
        ) from error


def shipped() -> list[str]:
    """The hub ids of the models that we ship a description of."""
    return sorted(file.name.removesuffix(".json").replace("--", "/") for file in SHIPPED.iterdir())


def _shipped(path: str) -> PreTrainedConfig:
    facts = json.loads((SHIPPED / f"{path.replace('/', '--')}.json").read_text(encoding="utf-8"))
    return CONFIG_MAPPING[facts.pop("model_type")](**facts)


def _read(path: str, *, local_files_only: bool = False) -> PreTrainedConfig:
    with naming(path, "its configuration", CAUSAL):
        config = AutoConfig.from_pretrained(path, local_files_only=local_files_only, trust_remote_code=False)
    return config.get_text_config()

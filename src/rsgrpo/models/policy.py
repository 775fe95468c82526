"""The policy: a causal language model that returns the log-prob and entropy of chosen tokens of a packed row."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rsgrpo import run_folder
from rsgrpo.models.architecture import ANOTHER, canary_logprobs, check_config, check_packed, window
from rsgrpo.models.attention import PackedLayout
from rsgrpo.models.files import CAUSAL, TOKENIZER_FILES, check_folder, naming, refusal
from rsgrpo.models.layout import InOnePlace, Layout
from rsgrpo.models.lora import AdapterShape, LoRA, adapter_name, adapter_shape, first_values, plain_name
from rsgrpo.models.weights import Misfits, check_finite, check_shards, refuse_misfits, saved_tensors, untied
from rsgrpo.types import PackedRow, TokenStatistics


class Policy(nn.Module):
    """A Hugging Face causal LM with its tokenizer.

    `forward(row, temperature)` is the one entry for training. Sampling engines use `model` directly, inside `whole()`.
    """

    source: str
    """The folder or hub id that the weights come from; empty for a model that was made here."""
    layout: Layout
    """Where the weights are; whoever shards or compiles them sets another one."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, chunk_tokens: int = 4096) -> None:
        super().__init__()
        model.set_attn_implementation("packed")
        self.model = model
        self.tokenizer = tokenizer
        self.chunk_tokens = chunk_tokens
        self.source = ""
        self.layout = InOnePlace()
        self.statistics = _token_statistics
        """From the head and hidden states to log-probs and entropies; whoever compiles the layers compiles this too."""
        self.compute_device: torch.device | None = None
        """Where it computes, if its weights may lie elsewhere."""
        self._adapter_seed: int | None = None
        self.train()

    @classmethod
    def from_pretrained(cls, path: str | Path, *, chunk_tokens: int = 4096, on_meta: bool = False) -> "Policy":
        """Load a Hugging Face folder or hub id, weights in float32; `on_meta`, all but the weights.

        What is built on the meta device takes no memory until it is sharded, materialised and filled.

        Raises:
            UserError: when a file is missing or damaged, the tensors are not exactly those of the model, or a packed
                row of it would have other log-probs than its sequences alone.
        """
        if Path(path).is_dir():
            check_folder(Path(path))
        with naming(path, "its configuration", CAUSAL):
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        check_config(path, config)
        tokenizer = _tokenizer(path)
        with naming(path, "its configuration", CAUSAL), torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
        if on_meta:
            check_shards(path, model)
            with suppress(OSError):  # a folder need not have one: it is then made out of the model's configuration
                model.generation_config = GenerationConfig.from_pretrained(path)
            policy = cls(model, tokenizer, chunk_tokens=chunk_tokens)
        else:
            model = _loaded(path)
            own = canary_logprobs(path, model)
            with naming(path, "its attention", ANOTHER):
                policy = cls(model, tokenizer, chunk_tokens=chunk_tokens)
            check_packed(path, model, own, lambda row: policy(row, 1.0).logprobs)
        policy.source = str(path)
        return policy

    def add_adapters(self, lora: LoRA, *, seed: int) -> None:
        """Train adapters from now on, and no other weight. At first they change nothing.

        Raises:
            FieldError: when `lora` names layers that the policy does not have.
        """
        lora.freeze_and_adapt(self.model)
        self._adapter_seed = seed
        if not self.is_on_meta:
            with torch.no_grad():
                for parameter, value in self.first_adapters():
                    parameter.copy_(value)

    def first_adapters(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """(parameter, whole tensor of its value before training) of every adapter, if there are any."""
        return iter(()) if self._adapter_seed is None else first_values(self.model, self._adapter_seed)

    def keep_weights_in(self, dtype: torch.dtype) -> None:
        """From now on, hold the weights that are trained, and so their gradients, in `dtype`."""
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(dtype)

    @property
    def has_adapters(self) -> bool:
        """Whether adapters are trained, and no other weight."""
        return self._adapter_seed is not None

    def weight_names(self, *, tied: bool = False) -> set[str]:
        """The Hugging Face names of the weights; with `tied`, all names of those that have several."""
        names = (plain_name(name) for name, _ in self.model.named_parameters(remove_duplicate=not tied))
        return {name for name in names if name is not None}

    def adapter_names(self) -> set[str]:
        """The names of the adapters' parts, as files of adapters have them."""
        names = (adapter_name(name) for name, _ in self.model.named_parameters())
        return {name for name in names if name is not None}

    def adapter_shape(self) -> AdapterShape | None:
        """What the adapters are; None where there are none."""
        return adapter_shape(self.model)

    def save_pretrained(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder that `AutoModelForCausalLM.from_pretrained` loads.

        Raises:
            RuntimeError: for a policy with adapters, which `rsgrpo.training.export.save_policy` merges.
        """
        if self.has_adapters:
            raise RuntimeError("a policy with adapters is saved by rsgrpo.training.export.save_policy")
        self.model.set_attn_implementation("sdpa")
        try:
            self.model.save_pretrained(folder)
        finally:
            self.model.set_attn_implementation("packed")
        run_folder.readable_as_the_others(Path(folder))
        self.tokenizer.save_pretrained(folder)

    def save_description(self, folder: Path) -> None:
        """Write all of that folder but the weights."""
        self.model.config.save_pretrained(folder)
        if self.model.generation_config is not None:
            self.model.generation_config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def whole(self) -> AbstractContextManager[None]:
        """Inside this context every weight is at hand on this process: a collective where ranks share the weights."""
        return self.layout.whole()

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.device if self.compute_device is None else self.compute_device

    @property
    def layers(self) -> list[nn.Module]:
        """The decoder layers, first to last."""
        return list(cast(nn.ModuleList, self.model.get_decoder().layers))

    @property
    def is_on_meta(self) -> bool:
        return self.model.device.type == "meta"

    def materialise(self, device: torch.device) -> None:
        """Give a policy from the meta device its memory on `device`: weights unset, computed buffers computed."""
        self.to_empty(device=device)
        self.model.tie_weights()
        for module in self.model.modules():
            if module._non_persistent_buffers_set:  # rotary frequencies: in no file, and now garbage
                with device:
                    fresh = type(module)(self.model.config)  # type: ignore[call-arg]
                module._buffers.update(fresh._buffers)

    def persistent_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """(name, buffer) of the buffers that a Hugging Face folder holds."""
        saved = self.model.state_dict(keep_vars=True)
        return ((name, buffer) for name, buffer in self.model.named_buffers() if name in saved)

    @property
    def context(self) -> int:
        """The longest prompt plus completion, in tokens, that has positions and is within the window of each layer."""
        config = self.model.config
        return int(min(config.max_position_embeddings, window(config) or math.inf))

    @property
    def vocabulary(self) -> int:
        """Rows of the embeddings: the tokens that prompts and samples may hold; the tokenizer may know fewer."""
        return int(cast(nn.Embedding, self.model.get_input_embeddings()).weight.shape[0])

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """The end-of-sequence tokens of the tokenizer and of the generation config."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        ids = configured if isinstance(configured, list) else [configured]
        return tuple(sorted({i for i in [*ids, self.tokenizer.eos_token_id] if i is not None}))

    def forward(self, row: PackedRow, temperature: float, *, entropy_gradient: bool = False) -> TokenStatistics:
        """Log-probs and entropies of the row's loss tokens at `temperature`, both of shape T, in nats.

        Equals the full softmax over separate sequences; the vocabulary is never materialised for more than
        `chunk_tokens` tokens at once. The entropy has a gradient only with `entropy_gradient`, which costs memory.
        """
        hidden = self.model.get_decoder()(
            input_ids=row.token_ids[None],
            position_ids=row.position_ids[None],
            use_cache=False,
            packed=PackedLayout.of(row.lengths, row.token_ids.device),
        ).last_hidden_state[0]
        wanted = hidden[row.target_index]
        head = cast(nn.Module, self.model.get_output_embeddings())
        if wanted.shape[0] <= self.chunk_tokens:
            return self.statistics(head, wanted, row.target_ids, temperature, entropy_gradient)
        parts = [
            checkpoint(self.statistics, head, h, ids, temperature, entropy_gradient, use_reentrant=False)
            for h, ids in zip(wanted.split(self.chunk_tokens), row.target_ids.split(self.chunk_tokens), strict=True)
        ]
        return TokenStatistics(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id; where its files are missing, transformers makes one without any words."""
    with naming(path, "its tokenizer", TOKENIZER_FILES):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        if not tokenizer("1 + 1 = 2").input_ids:
            raise refusal(path, "its tokenizer has no words: the files are missing", TOKENIZER_FILES)
    return tokenizer


def _loaded(path: str | Path) -> PreTrainedModel:
    """The model with its weights, all of which come from the folder."""
    with naming(path, "its weights"):
        model, found = cast(Any, AutoModelForCausalLM).from_pretrained(
            path, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False
        )
    shapes = {name: (there, here) for name, there, here in found["mismatched_keys"]}
    missing = found["missing_keys"] & saved_tensors(model).keys() - shapes.keys()
    refuse_misfits(path, model, Misfits(missing, found["unexpected_keys"], shapes))
    if (
        model.config.tie_word_embeddings
        and model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    ):
        raise untied(path)
    check_finite(path, model.named_parameters())
    return model


def _token_statistics(
    head: nn.Module,
    hidden: Float[Tensor, "T D"],
    token_ids: Int[Tensor, " T"],
    temperature: float,
    entropy_gradient: bool,
) -> TokenStatistics:
    logits = head(hidden).float() / temperature
    log_normaliser = logits.logsumexp(dim=-1)
    logprobs = logits.gather(-1, token_ids[:, None])[:, 0] - log_normaliser
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        probabilities = (logits - log_normaliser[:, None]).exp_()
        entropy = log_normaliser - (probabilities * logits).sum(dim=-1)
    return TokenStatistics(logprobs, entropy)

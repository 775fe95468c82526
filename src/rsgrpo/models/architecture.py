"""Does a policy compute what its model computes? Packed rows leave out what only some architectures have.

The policy runs the decoder on a packed row and puts the output layer on the tokens that it wants. Where a model scales
or caps its logits after that, or mixes tokens in another way than the attention of `models/attention.py`, its log-probs
would be those of another model.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from rsgrpo.models.files import naming, refusal
from rsgrpo.types import PackedRow

BESIDES_THE_HEAD = {
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
    "lm_head_multiplier": 1.0,
    "output_multiplier": 1.0,
    "final_logit_softcapping": None,
    "logits_soft_cap": None,
    "output_logit_soft_cap": None,
    "attn_logit_softcapping": None,
}
"""Settings that change logits outside of the output layer, or attention scores; each with the value that does not."""

ANOTHER = "give the folder of another architecture, Qwen2, Qwen3 or Llama for example, with path=..."

LENGTHS = (16, 7, 3)
"""Tokens of the canaries, the sequences that are compared."""

OF_OTHER_HEADS = ("classifier", "summary")
"""Prefixes of settings that a causal language model does not use."""

Packed = Callable[[PackedRow], Tensor]
"""The log-probs of a row's loss tokens, as they are trained."""

SAME = 1e-3
"""Largest difference of two log-probs in float32, in nats, that rounding explains."""


def check_config(source: str | Path, config: PreTrainedConfig) -> None:
    """Refuse a model whose logits are not those of its output layer, or whose training is random.

    Raises:
        UserError: naming the setting.
    """
    settings = config.get_text_config().to_dict()
    for name, neutral in BESIDES_THE_HEAD.items():
        if settings.get(name) not in (None, neutral):
            problem = f"config.json has {name}={settings[name]}, which the log-probs that are trained would leave out"
            raise refusal(source, problem, ANOTHER)
    for name, value in settings.items():
        if "drop" in name and not name.startswith(OF_OTHER_HEADS) and isinstance(value, float) and value > 0:
            problem = f"config.json has {name}={value}, and dropout trains another policy than the one that is sampled"
            raise refusal(source, problem, "write 0.0 there")


def window(config: PreTrainedConfig) -> int | None:
    """The tokens that the layers with the shortest view look back on; None where each sees the whole sequence.

    Up to that length a sliding window changes nothing.
    """
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    slides = kinds is None or any("sliding" in kind or "chunked" in kind for kind in kinds)
    sizes = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")] if slides else []
    return min((size for size in sizes if size), default=None)


def canaries(vocabulary: int) -> list[Int[Tensor, " _"]]:
    """The sequences that are compared, of tokens from the whole vocabulary."""
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(vocabulary, (length,), generator=draw) for length in LENGTHS]


def canary_row(vocabulary: int) -> PackedRow:
    """The canaries in one row; all tokens are loss tokens but the first of each."""
    ids = torch.cat(canaries(vocabulary))
    position, owner = torch.cat([torch.arange(n) for n in LENGTHS]), torch.arange(len(LENGTHS))
    target = (position > 0).nonzero()[:, 0]
    nothing = torch.zeros(len(target))
    return PackedRow(
        token_ids=ids,
        position_ids=position,
        lengths=LENGTHS,
        target_index=target - 1,
        target_ids=ids[target],
        sequence_of_target=owner.repeat_interleave(torch.tensor(LENGTHS))[target],
        advantages=nothing,
        weights=nothing,
        sampler_logprobs=nothing,
    )


def canary_logprobs(source: str | Path, model: PreTrainedModel) -> Float[Tensor, " T"]:
    """log pi of the same tokens, by the model's own forward pass over each canary alone."""
    found = []
    with naming(source, "its architecture", ANOTHER), torch.no_grad():
        for ids in canaries(_vocabulary(model)):
            logprobs = cast(Any, model)(input_ids=ids[None], use_cache=False).logits[0, :-1].float().log_softmax(dim=-1)
            found.append(logprobs.gather(-1, ids[1:, None])[:, 0])
    return torch.cat(found)


def check_packed(source: str | Path, model: PreTrainedModel, own: Float[Tensor, " T"], packed: Packed) -> None:
    """Refuse a model whose canaries have other log-probs in a packed row.

    Raises:
        UserError: naming the architecture and the difference.
    """
    name = type(model).__name__
    with naming(source, f"a packed row of its architecture ({name})", ANOTHER), torch.no_grad():
        gap = (own - packed(canary_row(_vocabulary(model)))).abs().max().item()
    if not gap <= SAME:
        raise refusal(source, f"{name} gives log-probs that are {gap:.2g} nats off for sequences in one row", ANOTHER)


def _vocabulary(model: PreTrainedModel) -> int:
    return cast(nn.Embedding, model.get_input_embeddings()).weight.shape[0]

"""A copy of the run's model with few layers: its real widths and names, random weights, no download."""

from pathlib import Path

import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import EOS, PAD, build_tokenizer
from rsgrpo.planning.architecture import Architecture

CONTEXT = 2048
"""Longest prompt plus completion of the copy."""

SPREAD = 3.0
"""The logits of random weights are nearly equal: they are multiplied by this, towards those of a trained model."""


def tokenizer_of(source: str | Path) -> PreTrainedTokenizerBase:
    """Of a folder or hub id."""
    return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def write_copy(
    architecture: Architecture, tokenizer: PreTrainedTokenizerBase | None, folder: Path, *, layers: int, device: str
) -> None:
    """Write the first `layers` layers of the architecture, with random weights, as a Hugging Face folder.

    Without a tokenizer of its own it gets the built-in one, whose special tokens the configuration then names.
    """
    config = architecture.config
    if tokenizer is None:
        tokenizer = build_tokenizer()
        known = tokenizer.get_vocab()
        config.eos_token_id, config.pad_token_id, config.bos_token_id = known[EOS], known[PAD], None
    config.max_position_embeddings = min(config.max_position_embeddings, CONTEXT)
    torch.manual_seed(0)
    with torch.device(device):
        model = architecture.build(min(layers, architecture.layers))
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.mul_(SPREAD)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_copy(folder: Path, *, chunk_tokens: int, device: str) -> Policy:
    """The copy as a run loads it, on its device."""
    return Policy.from_pretrained(folder, chunk_tokens=chunk_tokens).to(device)

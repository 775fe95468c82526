"""What is checked: a policy of random weights, and the settings of the engine on it."""

import argparse
from typing import Any, Literal

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import CONTEXT, EOS, PAD, build_tokenizer

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "vocab_size": 1000,  # more than the tokenizer knows, as below
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
    },
    "qwen3_0_6b": {
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
}


def build_policy(size: str, device: str) -> Policy:
    """Random weights of `size`, made on the device, with the tiny tokenizer: it knows some of the tokens only."""
    if size == "tiny":
        torch.set_num_threads(1)  # several wait for one another longer than they compute
    tokenizer = build_tokenizer()
    config = Qwen3Config(
        **SIZES[size],
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.get_vocab()[PAD],
        eos_token_id=tokenizer.get_vocab()[EOS],
        bos_token_id=None,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = Qwen3ForCausalLM(config)
    return Policy(model, tokenizer, chunk_tokens=1024)


def engine_dtype(options: argparse.Namespace) -> Literal["float32", "bfloat16"]:
    """Of the engine, unless --dtype says otherwise: bfloat16 on a GPU, float32 on a CPU."""
    return options.dtype or ("bfloat16" if options.device == "cuda" else "float32")


def engine_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the engine is built with: its defaults, and less memory on a CPU."""
    cache = {} if options.device == "cuda" else {"kv_cache_gib": 0.25}
    return {"dtype": engine_dtype(options), "max_gap": options.max_gap} | cache


def autocast(device: str) -> torch.autocast:
    """The one of Lightning's bf16-mixed."""
    return torch.autocast(device, dtype=torch.bfloat16, cache_enabled=False, enabled=device == "cuda")

"""Architectures whose packed rows are those of the model, and those that are refused by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from rsgrpo.errors import UserError
from rsgrpo.models.architecture import window
from rsgrpo.models.policy import Policy
from tests.models.test_policy import TOKENIZER, VOCABULARY, grouped_query

COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "initializer_range": 0.15,
}


def saved(folder: Path, kind: str, **settings: Any) -> Path:
    """A folder of a small model of `kind` with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**COMMON | settings))
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        ("gemma2", {"head_dim": 16}, "final_logit_softcapping=30.0"),
        ("gemma3_text", {"head_dim": 16, "final_logit_softcapping": 20.0}, "final_logit_softcapping=20.0"),
        ("cohere", {}, "logit_scale=0.0625"),
        ("granite", {"logits_scaling": 8.0}, "logits_scaling=8.0"),
        ("recurrent_gemma", {"head_dim": 16}, "logits_soft_cap=30.0"),
        ("gpt2", {"n_positions": 512}, "resid_pdrop=0.1"),
        ("opt", {"ffn_dim": 96, "word_embed_proj_dim": 64}, "dropout=0.1"),
    ],
)
@pytest.mark.parametrize("on_meta", [False, True])
def test_settings_that_change_scores_are_refused_by_name(
    kind: str, settings: dict[str, Any], named: str, on_meta: bool, tmp_path: Path
) -> None:
    folder = saved(tmp_path, kind, **settings)
    with pytest.raises(UserError, match=f"config.json has {named}"):
        Policy.from_pretrained(folder, on_meta=on_meta)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("bloom", {"n_layer": 2, "n_head": 4}),  # positions are a bias of the scores
        ("mamba", {"state_size": 8}),  # a state runs through the row
        ("gpt_oss", {"num_local_experts": 4, "head_dim": 16}),  # sinks
        ("stablelm", {}),  # attention of its own
        ("falcon_h1", {}),
    ],
)
def test_architectures_that_mix_tokens_in_another_way_are_refused_by_name(
    kind: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = saved(tmp_path, kind, **settings)
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
    with pytest.raises(UserError, match=f"{name}.*give the folder of another architecture"):
        Policy.from_pretrained(folder)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("gemma", {"head_dim": 16}),
        ("granite", {"logits_scaling": 1.0}),
        ("gpt2", {"n_positions": 512, "resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}),
        ("gpt_neox", {}),
        ("mixtral", {"num_local_experts": 4}),
        ("mistral", {}),
        ("phi3", {}),
        ("olmo2", {}),
    ],
)
def test_other_architectures_are_trained(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    assert Policy.from_pretrained(saved(tmp_path, kind, **settings)).context == 512


@pytest.mark.parametrize("kind", ["mistral", "gemma3_text", "starcoder2"])
def test_the_context_ends_with_the_window_of_the_attention(kind: str, tmp_path: Path) -> None:
    more = {"head_dim": 16} if kind == "gemma3_text" else {}
    assert Policy.from_pretrained(saved(tmp_path, kind, sliding_window=24, **more)).context == 24


def test_a_window_that_is_not_used_is_none() -> None:
    assert window(grouped_query(Qwen2Config)) is None
    assert window(Qwen2Config(sliding_window=4096, use_sliding_window=False)) is None

import random
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from rsgrpo.data.countdown import Demonstrations, problems
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import EOS, MAX_NUMBER, PAD, SYMBOLS, build_model, build_tokenizer
from rsgrpo.types import Problem

TOKENIZER = build_tokenizer()


def encode(text: str) -> list[int]:
    return TOKENIZER(text).input_ids


texts = st.one_of(
    st.text(max_size=60),
    # What byte-level tokenizers and their stand-ins for the space get wrong, in every mixture.
    st.text(" \n\t\r0123456789+-*/=>;:(){}\\boxed\u2581Ġ\u00a0\ufeffé🙂", max_size=60),
    st.lists(st.sampled_from([*map(str, range(MAX_NUMBER + 60)), *SYMBOLS]), max_size=20).map(" ".join),
).filter(lambda text: PAD not in text and EOS not in text)


@given(texts)
@example("")
@example(" ")
@example("  two before, two after  ")
@example("\n 7")
@example("\u2581 \u2581\u2581")
@example("ĠĠ Ġ12")
@example("👩‍👩‍👧 é e\u0301 ﬁ")
@example("a\x00b")
@example("<|endoftext")
def test_any_text_round_trips(text: str):
    ids = encode(text)
    assert TOKENIZER.decode(ids) == text
    assert TOKENIZER.batch_decode([ids, ids]) == [text, text]
    assert TOKENIZER.eos_token_id not in ids
    assert TOKENIZER.pad_token_id not in ids


def test_every_number_and_every_symbol_is_one_token_wherever_it_stands():
    words = [*map(str, range(151)), *SYMBOLS]
    for word in words:
        for text in (word, f"{word} 7", f"7 {word}", f"7 {word} 9", f"=> {word} :"):
            assert len(encode(text)) == len(text.split()), text
    assert len({encode(word)[0] for word in words}) == len(words)
    assert len({encode(f"7 {word}")[1] for word in words}) == len(words)
    assert [encode(word) for word in words] == [encode(f"7 {word}")[1:] for word in words]


def test_every_problem_and_every_demonstration_has_a_token_for_each_word():
    rng = random.Random(0)
    for problem in problems()[::20]:
        demonstration = Demonstrations().draw(problem, rng)
        assert len(encode(problem.text)) == 6
        assert len(encode(demonstration)) == len(demonstration.split())


def test_a_completion_is_tokenised_alone_as_it_is_after_its_prompt():
    prompt, completion = "6 12 9 => 27 :", "6 + 12 = 18 ; 18 + 9 = 27 ; \\boxed{ ( 6 + 12 ) + 9 }"
    assert encode(prompt) + encode(completion) == encode(f"{prompt} {completion}")


def test_the_end_token_is_one_token_and_differs_from_padding():
    assert encode("7" + EOS) == [*encode("7"), TOKENIZER.eos_token_id]
    assert TOKENIZER.eos_token_id != TOKENIZER.pad_token_id
    assert TOKENIZER.decode(encode("7" + EOS), skip_special_tokens=True) == "7"


def test_a_saved_policy_is_loaded_by_transformers_with_the_same_tokens_and_logits(tmp_path: Path):
    model = build_model(TOKENIZER, hidden_size=64, num_layers=2, seed=3)
    Policy(model, TOKENIZER).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    sample: list[Problem] = list(problems()[::50])
    texts = [*(p.text for p in sample), "Ünïcode  🙂", "  \u2581Ġ ", *SYMBOLS, "\\boxed{ ( 6 + 12 ) + 9 }" + EOS]
    for text in texts:
        ids = encode(text)
        assert tokenizer(text).input_ids == ids
        assert tokenizer.decode(ids) == TOKENIZER.decode(ids)
        with torch.no_grad():
            # The same weights at other addresses: kernels may add up in another order.
            torch.testing.assert_close(loaded(torch.tensor([ids])).logits, model(torch.tensor([ids])).logits)
    assert len(tokenizer) == len(TOKENIZER) == loaded.config.vocab_size
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (TOKENIZER.eos_token_id, TOKENIZER.pad_token_id)
    assert tokenizer.model_max_length == 2048
    assert loaded.generation_config.eos_token_id == TOKENIZER.eos_token_id


@pytest.mark.parametrize(("hidden", "heads", "kv_heads"), [(32, 1, 1), (64, 2, 1), (128, 4, 2)])
def test_heads_are_of_32_with_half_as_many_for_keys_and_values(hidden: int, heads: int, kv_heads: int):
    config = build_model(TOKENIZER, hidden_size=hidden, num_layers=1, seed=0).config
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (heads, kv_heads, 32)
    assert config.max_position_embeddings == 2048
    assert config.num_hidden_layers == 1
    assert config.vocab_size == len(TOKENIZER)


def test_the_default_policy_is_as_small_as_it_says():
    model = build_model(TOKENIZER, hidden_size=64, num_layers=3, seed=0)
    assert 170_000 < sum(p.numel() for p in model.parameters()) < 190_000
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_the_seed_picks_the_weights_and_nothing_else_does():
    def weights(seed: int) -> torch.Tensor:
        model = build_model(TOKENIZER, hidden_size=64, num_layers=2, seed=seed)
        return torch.cat([p.flatten() for p in model.parameters()])

    torch.manual_seed(11)
    first = weights(0)
    torch.manual_seed(12)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def numpy_state() -> tuple[int, bytes]:
    """Position and words of numpy's global generator."""
    state = cast(tuple, np.random.get_state())  # noqa: NPY002
    return state[2], state[1].tobytes()


def test_building_a_model_leaves_the_global_generators_alone():
    torch_state, before_numpy = torch.get_rng_state(), numpy_state()
    build_model(TOKENIZER, hidden_size=64, num_layers=2, seed=5)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert numpy_state() == before_numpy

"""A folder whose tensors are not its model's own is refused, whether it is read whole or by shards."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from rsgrpo.models.weights import check_finite
from tests.models.folders import (
    EMBEDDINGS,
    FIRST,
    HEAD,
    INDEX,
    Change,
    all_of,
    changed,
    configured,
    pickled,
    prefixed,
    renamed,
    sharded,
    tensors,
)

SOME = r"model\.embed_tokens\.weight, model\.layers\.0\.\S+, model\.layers\.0\.\S+, \.\.\."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tied embeddings, 24 tensors."""
    place = tmp_path_factory.mktemp("model") / "tied"
    tokenizer = build_tokenizer()
    Policy(build_model(tokenizer, hidden_size=32, num_layers=2, seed=0), tokenizer).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output layer of its own, rotary embeddings."""
    place = tmp_path_factory.mktemp("model") / "untied"
    tokenizer = build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, tie_word_embeddings=False, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    Policy(AutoModelForCausalLM.from_config(config), tokenizer).save_pretrained(place)
    return place


def wrapped(prefix: str) -> str:
    unknown = rf"24 unknown \({prefix}\S+, {prefix}\S+, {prefix}\S+, \.\.\.\)"
    return rf"24 of 24 tensors missing \({SOME}\), {unknown}; all names begin with {prefix}: "


MISFITS: dict[str, tuple[Change, str]] = {
    "a tensor is missing": (
        renamed(lambda found: {name: tensor for name, tensor in found.items() if name != FIRST}),
        rf"1 of 24 tensors missing \({FIRST}\); save the model anew with save_pretrained",
    ),
    "module.": (prefixed("module."), wrapped(r"module\.") + r"save what is wrapped, model\.module\.save_pretrained"),
    "_orig_mod.": (prefixed("_orig_mod."), wrapped(r"_orig_mod\.") + r"save what is wrapped, model\._orig_mod\.save"),
    "base_model.model.": (
        prefixed("base_model.model."),
        wrapped(r"base_model\.model\.") + r"merge the adapters, model\.merge_and_unload",
    ),
    "model.model.": (prefixed("model.model."), wrapped(r"model\.model\.") + "save the model anew"),
    "actor.": (prefixed("actor."), wrapped(r"actor\.") + "save the model anew"),
    "a prefix in shards": (all_of(prefixed("module."), sharded), wrapped(r"module\.")),
    "a tensor too many": (
        renamed(lambda found: found | {"v_head.weight": torch.zeros(3)}),
        r"\(Qwen3ForCausalLM\): 1 unknown \(v_head\.weight\); save",
    ),
    "a layer too many": (
        renamed(lambda found: found | {n.replace("s.1.", "s.2."): t for n, t in found.items()}),
        r"11 unknown \(model\.layers\.2\.\S+, \S+, \S+, \.\.\.\)",
    ),
    "a layer too few": (
        configured(num_hidden_layers=3, layer_types=["full_attention"] * 3),
        r"11 of 35 tensors missing \(model\.layers\.2",
    ),
    "another shape": (
        renamed(lambda found: found | {FIRST: torch.zeros(5, 32)}),
        rf"1 of another shape \({FIRST} \[5, 32\], not \[96, 32\]\); save",
    ),
    "another configuration": (
        configured(intermediate_size=100),
        r"6 of another shape \(model\.layers\.0\.mlp\.\S+ \[32, 96\], not \[32, 100\]",
    ),
    "fewer embeddings": (
        configured(vocab_size=420),
        rf"1 of another shape \({EMBEDDINGS} \[427, 32\], not \[420, 32\]\)",
    ),
    "no output layer": (configured(tie_word_embeddings=False), rf"1 of 25 tensors missing \({HEAD}\)"),
}


@pytest.mark.parametrize("on_meta", [False, True], ids=["whole", "by shards"])
@pytest.mark.parametrize("misfit", MISFITS)
def test_tensors_that_do_not_fit_are_named(folder: Path, tmp_path: Path, misfit: str, on_meta: bool) -> None:
    change, says = MISFITS[misfit]
    with pytest.raises(UserError, match=rf"^path=\S+: its weights do not fit its config\.json .*{says}") as caught:
        Policy.from_pretrained(changed(folder, change, tmp_path), on_meta=on_meta)
    assert "\n" not in str(caught.value)


def test_a_prefix_in_an_old_file_is_named(folder: Path, tmp_path: Path) -> None:
    place = changed(folder, all_of(prefixed("module."), pickled), tmp_path)
    with pytest.raises(UserError, match=r"all names begin with module\.: save what is wrapped"):
        Policy.from_pretrained(place)
    with pytest.raises(UserError, match=r"are read from safetensors files alone; .* or use strategy=auto$"):
        Policy.from_pretrained(place, on_meta=True)


@pytest.mark.parametrize("on_meta", [False, True], ids=["whole", "by shards"])
def test_an_output_layer_that_is_not_the_embeddings_it_is_said_to_be_is_refused(
    folder: Path, tmp_path: Path, on_meta: bool
) -> None:
    other = changed(folder, renamed(lambda found: found | {HEAD: found[EMBEDDINGS] + 1}), tmp_path)
    with pytest.raises(UserError, match=r"config\.json has tie_word_embeddings=true, .*; write false there$"):
        Policy.from_pretrained(other, on_meta=on_meta)
    configured(tie_word_embeddings=False)(other)  # the cure
    policy = Policy.from_pretrained(other, on_meta=on_meta)
    assert policy.weight_names() >= {HEAD, EMBEDDINGS}


FITS: dict[str, Change] = {
    "as saved": lambda folder: None,
    "in shards": sharded,
    "with the output layer written out": renamed(lambda found: found | {HEAD: found[EMBEDDINGS]}),
    "with the buffers of older versions": renamed(
        lambda found: found | {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.zeros(16) for i in range(2)}
    ),
}


@pytest.mark.parametrize("fit", FITS)
def test_what_a_folder_may_lack_or_have_too_many_is_no_misfit(folder: Path, tmp_path: Path, fit: str) -> None:
    place = changed(folder, FITS[fit], tmp_path)
    loaded = Policy.from_pretrained(place)
    for name, tensor in tensors(folder).items():
        assert torch.equal(loaded.model.get_parameter(name), tensor), name
    assert Policy.from_pretrained(place, on_meta=True).is_on_meta


FITS_WHOLE: dict[str, Change] = {
    "in an old file": pickled,
    "named from the decoder on": renamed(lambda found: {n.removeprefix("model."): t for n, t in found.items()}),
    "without embeddings, but their output layer": renamed(
        lambda found: {HEAD if name == EMBEDDINGS else name: tensor for name, tensor in found.items()}
    ),
}


@pytest.mark.parametrize("fit", FITS_WHOLE)
def test_what_transformers_finds_under_other_names_is_the_same(folder: Path, tmp_path: Path, fit: str) -> None:
    loaded = Policy.from_pretrained(changed(folder, FITS_WHOLE[fit], tmp_path))
    for name, tensor in tensors(folder).items():
        assert torch.equal(loaded.model.get_parameter(name), tensor), name


@pytest.mark.parametrize("on_meta", [False, True], ids=["whole", "by shards"])
def test_an_architecture_with_an_output_layer_of_its_own(llama: Path, tmp_path: Path, on_meta: bool) -> None:
    Policy.from_pretrained(llama, on_meta=on_meta)
    place = changed(llama, renamed(lambda found: {n: t for n, t in found.items() if n != HEAD}), tmp_path)
    with pytest.raises(UserError, match=rf"\(LlamaForCausalLM\): 1 of \d+ tensors missing \({HEAD}\)"):
        Policy.from_pretrained(place, on_meta=on_meta)


def test_an_index_that_forgets_a_tensor_of_its_files_is_read_with_it(folder: Path, tmp_path: Path) -> None:
    place = changed(folder, sharded, tmp_path)
    index = json.loads((place / INDEX).read_text())
    del index["weight_map"][FIRST]
    (place / INDEX).write_text(json.dumps(index))
    assert torch.equal(Policy.from_pretrained(place).model.get_parameter(FIRST), tensors(folder)[FIRST])
    Policy.from_pretrained(place, on_meta=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folder: Path, tmp_path: Path, value: float) -> None:
    def spoil(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found[FIRST][3, 5] = value
        return found

    with pytest.raises(UserError, match=rf"{FIRST} holds values that are not finite numbers; give a whole copy"):
        Policy.from_pretrained(changed(folder, renamed(spoil), tmp_path))
    with pytest.raises(UserError, match="x holds values"):
        check_finite("folder", [("x", torch.tensor([1.0, value]))])

"""Folders whose files are missing, damaged or of another kind are refused by name, before a tensor is read."""

import re
from pathlib import Path

import pytest
import torch

from rsgrpo.errors import UserError
from rsgrpo.models.files import check_folder, naming, safetensors_of
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from tests.models.folders import (
    FIRST,
    INDEX,
    POINTER,
    WEIGHTS,
    Change,
    adapted,
    all_of,
    changed,
    configured,
    cut,
    pickled,
    removed,
    renamed,
    sharded,
    written,
)

TOKENIZER_CURE = "put the model's own tokenizer files into it, tokenizer.json and tokenizer_config.json"
WHOLE = "give a whole copy of the folder with path=..."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model") / "whole"
    tokenizer = build_tokenizer()
    Policy(build_model(tokenizer, hidden_size=32, num_layers=2, seed=0), tokenizer).save_pretrained(place)
    return place


class Runs:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this has been run",)


def code(folder: Path) -> None:
    pickled(folder)
    torch.save({"a": Runs()}, folder / "pytorch_model.bin")


DAMAGED: dict[str, tuple[Change, str]] = {
    "weights not fetched": (
        written(WEIGHTS, POINTER),
        f"{WEIGHTS} is a Git LFS pointer, not the file itself; fetch it: git -C",
    ),
    "tokenizer not fetched": (written("tokenizer.json", POINTER), "tokenizer.json is a Git LFS pointer"),
    "template not fetched": (written("chat_template.jinja", POINTER), "chat_template.jinja is a Git LFS pointer"),
    "old weights not fetched": (
        all_of(pickled, written("pytorch_model.bin", POINTER)),
        "pytorch_model.bin is a Git LFS",
    ),
    "empty weights": (written(WEIGHTS, ""), f"{WEIGHTS} is empty; {WHOLE}"),
    "cut weights": (cut(WEIGHTS), rf"{WEIGHTS} cannot be read \(.*not fully covered.*\); {WHOLE}"),
    "cut within the header": (written(WEIGHTS, b"\x80\x00\x00\x00\x00\x00\x00\x00{"), rf"{WEIGHTS} cannot be read \("),
    "a shard that is cut": (
        all_of(sharded, cut("model-00002-of-00002.safetensors")),
        r"model-00002-of-00002.safetensors cannot",
    ),
    "no shard": (
        all_of(sharded, removed("model-00002-of-00002.safetensors")),
        "model-00002-of-00002.safetensors is missing",
    ),
    "cut index": (all_of(sharded, cut(INDEX)), f"{INDEX} is damaged: it is not JSON"),
    "index of nothing": (all_of(sharded, written(INDEX, "{}")), f"{INDEX} has no weight_map"),
    "two sets of weights": (
        lambda folder: (kept := (folder / WEIGHTS).read_bytes(), sharded(folder), (folder / WEIGHTS).write_bytes(kept)),
        f"holds weights twice, in {WEIGHTS} and as {INDEX} says; remove one",
    ),
    "no weights": (removed(WEIGHTS), rf"holds no weights \(neither {WEIGHTS} nor {INDEX}\); {WHOLE}"),
    "empty old weights": (all_of(pickled, written("pytorch_model.bin", "")), "pytorch_model.bin is empty"),
    "cut old weights": (all_of(pickled, cut("pytorch_model.bin")), r"its weights cannot be read \("),
    "old weights that are code": (code, r"its weights cannot be read \(Weights only load failed\)"),
    "adapters": (adapted, r"holds adapters \(adapter_config.json\), .*; merge them into their base"),
    "adapters without a config": (all_of(adapted, removed("config.json")), r"holds adapters"),
    "cut config": (cut("config.json", 30), f"config.json is damaged: it is not JSON; {WHOLE}"),
    "binary config": (written("config.json", b"\xff\xfe\x00"), "config.json is damaged: it is not JSON"),
    "config that is a list": (written("config.json", "[]"), "config.json is damaged: it is not a JSON object"),
    "unknown architecture": (
        configured(model_type="foo"),
        "config.json has model_type=foo, which transformers .* does not know;",
    ),
    "no architecture": (configured(model_type=None), "config.json has model_type=None"),
    "architecture of its own": (
        configured(model_type="foo", auto_map={"AutoConfig": "x.X"}),
        "config.json has .*, and code of its own, which is never run;",
    ),
    "no language model": (
        configured(model_type="vit"),
        r"its configuration cannot be read \(Unrecognized .*ViTConfig.*\); give the",
    ),
    "text for a size": (
        configured(hidden_size="abc"),
        r"its configuration cannot be read \(.*hidden_size.*\); give the folder",
    ),
    "no heads": (configured(num_attention_heads=0), r"its configuration cannot be read \("),
    "quantised": (
        configured(quantization_config={"quant_method": "gptq"}),
        r"its weights are quantised \(gptq\); .* before",
    ),
    "quantised without a word": (
        renamed(lambda found: found | {FIRST: found[FIRST].to(torch.int8)}),
        rf"its weights are quantised \({FIRST} is I8\);",
    ),
    "cut generation config": (written("generation_config.json", "{"), "generation_config.json is damaged"),
    "end that is no token": (
        configured("generation_config.json", eos_token_id="abc"),
        "generation_config.json has eos_token_id='abc'",
    ),
    "no tokenizer": (
        removed("tokenizer.json", "tokenizer_config.json"),
        rf"holds no tokenizer \(no tokenizer.json\); {TOKENIZER_CURE}",
    ),
    "half a tokenizer": (removed("tokenizer.json"), rf"holds no tokenizer \(no tokenizer.json\); {TOKENIZER_CURE}"),
    "no tokenizer config": (removed("tokenizer_config.json"), f"tokenizer_config.json is missing; {TOKENIZER_CURE}"),
    "cut tokenizer": (cut("tokenizer.json"), "tokenizer.json is damaged: it is not JSON"),
    "empty tokenizer": (written("tokenizer.json", ""), "tokenizer.json is damaged: it is not JSON"),
    "tokenizer of nothing": (
        written("tokenizer.json", "{}"),
        rf"its tokenizer cannot be read \(.*\); {TOKENIZER_CURE}",
    ),
    "words without merges": (
        all_of(removed("tokenizer.json"), written("vocab.json", '{"a": 0}')),
        rf"its tokenizer cannot be read \(.*\); {TOKENIZER_CURE}",
    ),
    "a tokenizer without words": (
        all_of(removed("tokenizer.json"), written("vocab.txt", "")),
        rf"its tokenizer .*; {TOKENIZER_CURE}",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_folder_is_one_sentence_that_names_the_file_and_the_cure(
    folder: Path, tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    change, says = DAMAGED[damage]
    place = changed(folder, change, tmp_path)
    with pytest.raises(UserError, match=rf"^path={re.escape(str(place))}: {says}") as caught:
        Policy.from_pretrained(place)
    assert "\n" not in str(caught.value)
    assert "has been run" not in capfd.readouterr().out


@pytest.mark.parametrize("change", [lambda _: None, sharded, pickled, removed("generation_config.json")])
def test_a_whole_folder_is_not_refused(folder: Path, tmp_path: Path, change: Change) -> None:
    check_folder(changed(folder, change, tmp_path))


def test_the_files_that_are_read_are_those_of_the_index(folder: Path, tmp_path: Path) -> None:
    place = changed(folder, sharded, tmp_path)
    (place / "model-00001-of-00003.safetensors").write_bytes((folder / WEIGHTS).read_bytes())
    (place / "consolidated.safetensors").write_bytes((folder / WEIGHTS).read_bytes())
    assert [file.name for file in safetensors_of(place)] == [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert safetensors_of(folder) == [folder / WEIGHTS]
    with pytest.raises(UserError, match=r"in pytorch_model\.bin, .* save_pretrained, or use strategy=auto$"):
        safetensors_of(changed(folder, pickled, tmp_path / "old"))


def test_what_a_library_says_becomes_a_sentence_and_memory_stays_memory() -> None:
    says = r"^path=x: its y cannot be read \(no: it is broken\); do z$"
    with pytest.raises(UserError, match=says), naming("x", "its y", "do z"):
        raise ValueError("no:\n  it is broken. A page follows.")
    with pytest.raises(MemoryError), naming("x", "its y"):
        raise MemoryError

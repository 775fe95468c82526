"""The files of a Hugging Face folder, checked before its model is built: none missing, damaged or of another kind."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from rsgrpo.errors import UserError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
ADAPTER, TOKENIZER_CONFIG = "adapter_config.json", "tokenizer_config.json"

DESCRIPTIONS = ("config.json", "generation_config.json", "tokenizer.json", TOKENIZER_CONFIG, INDEX, PICKLED[1])
"""Files that are a JSON object, where there are any."""

VOCABULARIES = ("tokenizer.json", "*.model", "vocab.*", "*.tiktoken", "tekken.json")
"""Files that hold the words of a tokenizer, each of another kind; a folder has one of them at least."""

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of weights, in the words of safetensors, that need no scale beside them."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""The first bytes of the small file that Git LFS leaves in place of a large one that was not fetched."""

TOKENIZER_FILES = "put the model's own tokenizer files into it, tokenizer.json and tokenizer_config.json"
UNQUANTISED = "those cannot be trained: give the folder of the model before quantisation with path=..."
CAUSAL = "give the folder of a causal language model that it knows with path=..."
WHOLE = "give a whole copy of the folder with path=..."


def refusal(source: str | Path, problem: str, cure: str = WHOLE) -> UserError:
    """The error of a folder or hub id that cannot be trained."""
    return UserError(f"path={source}: {problem}; {cure}", path="policy")


@contextmanager
def naming(source: str | Path, part: str, cure: str = WHOLE) -> Iterator[None]:
    """Turn what a library raises about a file that it cannot read into a sentence that names `source` and its part.

    transformers, tokenizers, safetensors, huggingface_hub and torch each have exceptions of their own.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise refusal(source, f"{part} cannot be read ({said.split('. ')[0].rstrip('.:')})", cure) from error


def local_folder(source: str | Path) -> Path:
    """The folder itself, or the copy of a hub id on this machine, fetched unless it is there."""
    if Path(source).is_dir():
        return Path(source)
    return Path(snapshot_download(str(source), allow_patterns=["*.safetensors", "*.json"]))


def check_folder(folder: Path) -> None:
    """Refuse a folder with files that are missing, damaged or of another kind; no tensor is read.

    Raises:
        UserError: naming the file and the cure.
    """
    if (folder / ADAPTER).is_file():
        raise refusal(
            folder,
            f"holds adapters ({ADAPTER}), not the weights of a whole model",
            "merge them into their base (peft: merge_and_unload()), save that with save_pretrained, and give its "
            "folder with path=...",
        )
    for file in sorted(folder.iterdir()):
        if file.is_file() and _begins_with(file, LFS_POINTER):
            raise refusal(
                folder, f"{file.name} is a Git LFS pointer, not the file itself", f"fetch it: git -C {folder} lfs pull"
            )
    described = {name: _json_object(folder, name) for name in DESCRIPTIONS if (folder / name).is_file()}
    _check_descriptions(folder, described)
    for file in _weight_files(folder, described):
        if not file.is_file():
            raise refusal(folder, f"{file.name} is missing, which its index names")
        if not file.stat().st_size:
            raise refusal(folder, f"{file.name} is empty")
        if file.suffix == ".safetensors":
            with naming(folder, file.name), safe_open(file, framework="pt") as content:  # compares its size with it
                kinds = {name: content.get_slice(name).get_dtype() for name in content.keys()}  # noqa: SIM118
            whole = next((n for n, kind in kinds.items() if n.endswith(".weight") and kind not in FLOATS), None)
            if whole is not None:
                raise refusal(folder, f"its weights are quantised ({whole} is {kinds[whole]})", UNQUANTISED)


def safetensors_of(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads of a checked folder: not what else may lie beside them.

    Raises:
        UserError: when it has none.
    """
    index = {INDEX: _json_object(folder, INDEX)} if (folder / INDEX).is_file() else {}
    files = _weight_files(folder, index)
    if any(file.suffix != ".safetensors" for file in files):
        raise refusal(
            folder,
            f"its weights are in {PICKLED[0]}, and shards are read from safetensors files alone",
            "save the model anew with save_pretrained, or use strategy=auto",
        )
    return files


def _check_descriptions(folder: Path, described: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a model that transformers does not know or that is quantised, and a tokenizer whose files are missing."""
    config = described.get("config.json", {})
    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING:
        problem = f"config.json has model_type={kind}, which transformers {version('transformers')} does not know"
        code = ", and code of its own, which is never run" if "auto_map" in config else ""
        raise refusal(folder, problem + code, CAUSAL)
    if (quantised := config.get("quantization_config")) is not None:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise refusal(folder, f"its weights are quantised ({method})", UNQUANTISED)
    for name in ("config.json", "generation_config.json"):
        ends = described.get(name, {}).get("eos_token_id")
        if not all(type(end) is int for end in (ends if isinstance(ends, list) else [ends]) if end is not None):
            raise refusal(folder, f"{name} has eos_token_id={ends!r}", "write a number or a list of numbers there")
    if not any(file for pattern in VOCABULARIES for file in folder.glob(pattern)):
        raise refusal(folder, f"holds no tokenizer (no {VOCABULARIES[0]})", TOKENIZER_FILES)
    if TOKENIZER_CONFIG not in described:  # transformers would guess the kind of tokenizer, and its special tokens
        raise refusal(folder, f"{TOKENIZER_CONFIG} is missing", TOKENIZER_FILES)


def _weight_files(folder: Path, described: Mapping[str, Mapping[str, Any]]) -> list[Path]:
    """The files that transformers would read, in its order of preference.

    Raises:
        UserError: when there are none, or two sets of them.
    """
    for single, index in ((SINGLE, INDEX), PICKLED):
        if index in described:
            places = described[index].get("weight_map")
            if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
                raise refusal(folder, f"{index} has no weight_map from tensors to files")
            named = dict.fromkeys(sorted(places.values()))
            if (folder / single).is_file() and single not in named:
                raise refusal(folder, f"holds weights twice, in {single} and as {index} says", "remove one of the two")
            return [folder / name for name in named]
        if (folder / single).is_file():
            return [folder / single]
    raise refusal(folder, f"holds no weights (neither {SINGLE} nor {INDEX})")


def _json_object(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise refusal(folder, f"{name} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise refusal(folder, f"{name} is damaged: it is not JSON") from None
    if not isinstance(content, dict):
        raise refusal(folder, f"{name} is damaged: it is not a JSON object")
    return content


def _begins_with(file: Path, start: bytes) -> bool:
    with file.open("rb") as content:
        return content.read(len(start)) == start

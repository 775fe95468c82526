"""Are the tensors of a Hugging Face folder its model's own? transformers fills what it does not find at random."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel

from rsgrpo.errors import UserError
from rsgrpo.models.files import local_folder, refusal, safetensors_of

SHOWN = 3
"""How many names of tensors a message lists."""

ROWS_AT_ONCE = 4096
"""Rows of two tensors that are compared at a time."""

SAVED_ANEW = "save the model anew with save_pretrained, and give that folder with path=..."


class Misfits(NamedTuple):
    """How the tensors of a folder differ from those of its model."""

    missing: Collection[str]
    unknown: Collection[str]
    shapes: Mapping[str, tuple[Sequence[int], Sequence[int]]]
    """name -> (shape in the folder, shape in the model)."""


def stored_shapes(files: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in safetensors files, from their headers."""
    shapes = {}
    for file in files:
        with safe_open(file, framework="pt") as content:
            shapes |= {name: tuple(content.get_slice(name).get_shape()) for name in content.keys()}  # noqa: SIM118
    return shapes


def check_shards(source: str | Path, model: PreTrainedModel) -> None:
    """Refuse safetensors files whose tensors are not exactly those of `model`, which has no weights yet.

    Raises:
        UserError: naming the tensors.
    """
    files = safetensors_of(local_folder(source))
    stored, own = stored_shapes(files), saved_tensors(model)
    named = model.state_dict(keep_vars=True)  # with all names of tied weights
    ignored = [*(model._keys_to_ignore_on_load_unexpected or ()), r"rotary_emb\.inv_freq"]  # of older folders
    unknown = [n for n in stored.keys() - named.keys() if not any(re.search(pattern, n) for pattern in ignored)]
    shapes = {n: (stored[n], tuple(t.shape)) for n, t in own.items() if n in stored and stored[n] != tuple(t.shape)}
    misfits = Misfits(own.keys() - stored.keys(), unknown, shapes)
    refuse_misfits(source, model, misfits, cure="save the model anew with save_pretrained, or use strategy=auto")
    for name in stored.keys() & (named.keys() - own.keys()):
        first = next(n for n, tensor in own.items() if tensor is named[name])
        if not _equal(files, first, name):
            raise untied(source)


def saved_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """(name, tensor) of what a Hugging Face folder holds of `model`: parameters, tied ones once, and some buffers."""
    named = model.state_dict(keep_vars=True)
    return dict(model.named_parameters()) | {name: b for name, b in model.named_buffers() if name in named}


def refuse_misfits(source: str | Path, model: PreTrainedModel, misfits: Misfits, cure: str = SAVED_ANEW) -> None:
    """Refuse tensors that are missing, unknown or of another shape.

    Raises:
        UserError: with how many there are of each, and the first of them.
    """
    if not any(misfits):
        return
    shapes = [f"{name} {list(there)}, not {list(here)}" for name, (there, here) in misfits.shapes.items()]
    kinds = {
        f"of {len(saved_tensors(model))} tensors missing": misfits.missing,
        "unknown": misfits.unknown,
        "of another shape": shapes,
    }
    found = ", ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names)
    prefix = _prefix(misfits)
    if prefix is not None:
        cure = f"all names begin with {prefix}: {_UNWRAPPED.get(prefix, cure)}"
    raise refusal(source, f"its weights do not fit its config.json ({type(model).__name__}): {found}", cure)


_UNWRAPPED = {
    "module.": "save what is wrapped, model.module.save_pretrained(...)",
    "_orig_mod.": "save what is wrapped, model._orig_mod.save_pretrained(...)",
    "base_model.model.": "merge the adapters, model.merge_and_unload().save_pretrained(...)",
}
"""How a wrapper that puts a prefix before every name is taken off: of DataParallel, torch.compile and peft."""


def check_finite(source: str | Path, parameters: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse weights that are not finite numbers.

    Raises:
        UserError: naming the first such tensor.
    """
    for name, parameter in parameters:
        if not parameter.isfinite().all():
            raise refusal(source, f"{name} holds values that are not finite numbers")


def untied(source: str | Path) -> UserError:
    """The error of an output layer that differs from the embeddings where the configuration says that they are tied."""
    return refusal(
        source,
        "config.json has tie_word_embeddings=true, and the weights of the output layer are not those of the embeddings",
        "write false there",
    )


def _prefix(misfits: Misfits) -> str | None:
    """What stands before the names of all unknown tensors, which would be the missing ones without it."""
    missing = sorted(misfits.missing, key=len, reverse=True)
    found = set()
    for name in misfits.unknown:
        own = next((other for other in missing if name.endswith(other) and name != other), None)
        found.add(None if own is None else name.removesuffix(own))
    return found.pop() if len(found) == 1 else None


def _equal(files: Sequence[Path], one: str, other: str) -> bool:
    """Whether two tensors of safetensors files are the same, compared in parts."""
    place = {}
    for file in files:
        with safe_open(file, framework="pt") as content:
            place |= {name: file for name in (one, other) if name in content.keys()}  # noqa: SIM118
    with safe_open(place[one], framework="pt") as first, safe_open(place[other], framework="pt") as second:
        a, b = first.get_slice(one), second.get_slice(other)
        starts = range(0, a.get_shape()[0], ROWS_AT_ONCE)
        return a.get_shape() == b.get_shape() and all(
            torch.equal(a[i : i + ROWS_AT_ONCE], b[i : i + ROWS_AT_ONCE]) for i in starts
        )


def _some(names: Collection[str]) -> str:
    """The first of the names, in alphabetical order."""
    return ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")

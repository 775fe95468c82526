"""The library names its own fields in messages; the command line puts in the keys (`command_line/own_names.py`)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.architecture.test_structure import LIBRARY, ROOT, SOURCES, room_of, tree_of

KEYED_ROOMS = ("callbacks", "command_line", "comparison", "composition", "planning", "sweeps", "tasks", "main")
"""Rooms that speak to whoever types a command. Callbacks are named as the run names them; a comparison tells runs apart
by the keys of their configurations, and a plan says which of them to turn."""

NO_KEYS = {
    "has no eval.k; restore it": "the key of a run's config.yaml, which is the file at fault",
    "model.safetensors": "a file",
    "bandit.json": "a file",
    "model.module.save_pretrained": "Python that the user writes",
    "model._orig_mod.save_pretrained": "Python that the user writes",
    "model.merge_and_unload": "Python that the user writes",
}
"""What looks like a key and is none, by a part of the text."""


def said(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(text, line) of every string that is not by itself, as docstrings are."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value, node.lineno


def _keys() -> re.Pattern[str]:
    """A key or a choice of the command line: `eval.k`, `rollout=hf`."""
    whole = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text(encoding="utf-8"))
    groups = sorted(folder.name for folder in (ROOT / "conf").iterdir() if folder.is_dir())
    sections = sorted({*groups, *(name for name, value in whole.items() if isinstance(value, dict))} - {"hydra"})
    return re.compile(rf"(?<![\w.])(?:(?:{'|'.join(sections)})\.[a-z_]\w*|(?:{'|'.join(groups)})=[a-z]\w*)")


KEYS = _keys()


def keys_in(text: str) -> list[str]:
    """The keys and choices of the command line in a text."""
    return [] if any(part in text for part in NO_KEYS) else KEYS.findall(text)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("lower batching.row_tokens", ["batching.row_tokens"]),
        ("or rollout=hf", ["rollout=hf"]),
        ("try eval.k=[1]", ["eval.k"]),
        ("or objective=Reinforce(), with row_tokens=1", []),
        ("rsgrpo.data.source of model.safetensors", []),
    ],
)
def test_keys_are_found(text: str, keys: list[str]) -> None:
    assert keys_in(text) == keys


FIELDS = {
    "fitting/resuming.py": "fields of a recipe, dotted as keys are",
    "analysis/inspect_table.py": "settings of the run that is inspected",
    "analysis/verdict.py": "commands to type, shown at the end of a run of the command line",
    "analysis/plan_table.py": "keys to turn where a run of the command line does not fit",
    "planning/architecture.py": "the key that names the model of task=plan",
    "planning/cures.py": "keys to turn where a run of the command line does not fit",
    "doctor/runs.py": "runs of the command line that the doctor starts",
}
"""Files that have to name what looks like a key."""


@pytest.mark.parametrize(
    "file",
    [
        f
        for f in SOURCES
        if LIBRARY in f.parents and room_of(f) not in KEYED_ROOMS and f.relative_to(LIBRARY).as_posix() not in FIELDS
    ],
    ids=lambda f: f.stem,
)
def test_the_library_names_fields_and_no_keys(file: Path) -> None:
    """Whoever calls it from Python has no keys: the command line puts them in (`command_line/own_names.py`)."""
    assert [f"line {line}: {key}" for text, line in said(tree_of(file)) for key in keys_in(text)] == []

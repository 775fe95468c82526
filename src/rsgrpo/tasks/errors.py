"""One clear sentence for each mistake on the command line: the key and the cure."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException, OverrideParseException

from rsgrpo.types import UserError


def explain(error: Exception, conf: Path) -> str:
    """What to tell the user about an exception from composing the configuration in `conf`."""
    text = str(error)
    if isinstance(error, UserError):
        return text
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read; write key=value without spaces, special characters in quotes"
    if not isinstance(error, HydraException) and isinstance(error, OSError):
        return f"run folder {error.filename} cannot be made ({error.strerror}); choose another: hydra.run.dir=..."
    choice = re.search(r"Could not find '([\w/]+)'", text) or re.search(r"In '[\w/]+': Could not load '([\w/]+)'", text)
    if choice and "/" in choice[1]:
        group, name = choice[1].rsplit("/", 1)
        return _unknown_choice(group, name, conf)
    several = re.search(r"Ambiguous value for argument '([^']+)'", text)
    if several:
        return f"{several[1]}: several values make a sweep, which needs -m; for one value that holds commas, quote it"
    unknown = (
        re.search(r"Could not override '([\w/@.]+)'", text)
        or re.search(r"Could not delete from config. '([\w/@.]+)' does not exist", text)
        or re.search(r"Key '([\w.]+)' is not in struct", text)
    )
    if unknown:
        return _unknown_key(unknown[1], conf)
    return " ".join(text.split())


PLACED = "dataset"
"""A group whose choices are put into others: `+dataset@data.tests.NAME=aime24`."""


def check_choices(arguments: Sequence[str], conf: Path) -> None:
    """Refuse `group=null`, for which Hydra has a traceback, and a dataset without its place, which it would ignore.

    Raises:
        UserError: naming the choices.
    """
    for argument in arguments:
        group, _, choice = argument.partition("=")
        if group.lstrip("+") == PLACED:
            raise UserError(f"{argument}: say where it goes: +{PLACED}@data.tests.NAME={choice} adds a test set")
        if choice == "null" and (conf / group).is_dir():
            raise UserError(_unknown_choice(group, choice, conf))


def _unknown_choice(group: str, name: str, conf: Path) -> str:
    """A choice that a group does not have, with those that it has."""
    known = sorted(file.relative_to(conf / group).with_suffix("").as_posix() for file in (conf / group).glob("*.yaml"))
    near = difflib.get_close_matches(name, known, n=1)
    meant = f", did you mean {near[0]}?" if near else ""
    return f"{group}={name}: no such choice{meant}; {group} is one of {', '.join(known)}"


def _unknown_key(key: str, conf: Path) -> str:
    """A key that does not exist, with the one that was probably meant."""
    parent, _, leaf = key.rpartition(".")
    all_keys = _known_keys(conf)
    if key in all_keys:
        return f"{key}: another choice of {key.split('.')[0]} has this key, the chosen one has not; leave it out"
    siblings = {known.rpartition(".")[2]: known for known in all_keys if known.rpartition(".")[0] == parent}
    elsewhere = {known.rpartition(".")[2]: known for known in sorted(all_keys)} if not parent else {}
    nearly = difflib.get_close_matches(leaf, sorted(siblings), n=1, cutoff=0.85)
    if leaf in elsewhere and not nearly:
        return f"{key}: no such key; did you mean {elsewhere[leaf]}?"
    near = nearly or difflib.get_close_matches(leaf, sorted(siblings), n=1)
    if near:
        return f"{key}: no such key; did you mean {siblings[near[0]]}?"
    if parent:
        return f"{key}: no such key; a key that your own class takes is added with +{key}=..."
    return f"{key}: no such key; `python run.py --cfg job` shows them all"


def _known_keys(conf: Path) -> set[str]:
    """Every dotted key and every group of the configuration."""
    keys = {folder.name for folder in conf.iterdir() if folder.is_dir()}
    for file in conf.rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        if file.parent.name == PLACED:
            continue
        whole = file.parent == conf or text.startswith("# @package _global_")
        keys |= _dotted(yaml.safe_load(text), "" if whole else file.relative_to(conf).parts[0])
    return keys


def _dotted(tree: Any, prefix: str) -> set[str]:
    """{"a": {"b": 1}} -> {"a", "a.b"}."""
    if not isinstance(tree, dict):
        return set()
    named = {f"{prefix}.{name}" if prefix else str(name): branch for name, branch in tree.items()}
    return set(named).union(*(_dotted(branch, name) for name, branch in named.items()))

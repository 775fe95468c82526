"""Whose word a class is loaded on: resuming a run folder is running its configuration.

The words that a run was started with may name any class, and a run folder may have come from anyone. A class from
outside this project is loaded when the command line of today names it too.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rsgrpo.command_line.moved import TARGET, current_name
from rsgrpo.errors import UserError

OURS = "rsgrpo"
"""The package whose classes need no word."""

METRICS = "rsgrpo.metrics."
"""Where functions need none either."""


def check_words(words: Sequence[str], file: Path) -> None:
    """Refuse words of a run folder that are not settings of the run, before Hydra reads them.

    Raises:
        UserError: for an option of the command line, a setting of Hydra itself, or anything that is not a setting.
    """
    for word in words:
        try:
            read = None if word.startswith("-") else OverridesParser.create().parse_override(word)
        except HydraException:
            read = None
        if read is None or read.is_sweep_override():
            raise UserError(f"{file}: {word!r} is not a setting of a run; remove the line")
        if read.key_or_group.partition(".")[0].partition("/")[0] == "hydra":
            raise UserError(
                f"{file}: {word!r} is a setting of Hydra itself, which no run leaves there; remove the line"
            )


def check_targets(cfg: DictConfig, given: Sequence[str], conf: Path) -> None:
    """Refuse a class from outside that a resumed configuration names and today's command line does not.

    Args:
        cfg: the configuration.
        given: the words of the command line.
        conf: the folder of the configuration, whose own choices need no word.

    Raises:
        UserError: naming the key and the words that allow it.
    """
    try:
        resolved = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"ckpt={cfg.ckpt}: {' '.join(str(error).split())}; fix its overrides.yaml") from None
    allowed = _shipped(conf) | set(_named_now(given))
    outside = [f"{key}={target}" for key, target in targets(resolved) if target not in allowed and not is_ours(target)]
    if outside:
        words = " ".join(outside)
        raise UserError(
            f"ckpt={cfg.ckpt}: its settings name {words}, which is not a class of this project, and to resume a "
            f"folder is to run what its settings name; if you trust it, name it again: ckpt={cfg.ckpt} {words}"
        )


def words_to_repeat(words: Sequence[str]) -> list[str]:
    """The words of a run that a command line has to repeat in order to resume it."""
    return [word for word in words if any(not is_ours(target) for target in _named_now([word]))]


@cache
def _shipped(conf: Path) -> frozenset[str]:
    """What the choices in `conf` name."""
    trees = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in conf.rglob("*.yaml")]
    return frozenset(target for tree in trees for _, target in targets(tree))


def _named_now(given: Sequence[str]) -> Iterator[str]:
    """The classes that words of the command line name."""
    for word in given:
        if TARGET not in word:
            continue
        try:
            read = OverridesParser.create().parse_override(word)
        except HydraException:
            continue  # an option: Hydra reads it
        *_, last = read.key_or_group.split(".")
        yield from (target for _, target in targets({last: read.value()}))


def targets(tree: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, class) of every class that a tree of settings names."""
    if isinstance(tree, dict):
        for name, branch in tree.items():
            key = f"{prefix}.{name}" if prefix else str(name)
            if name == TARGET:
                yield key, current_name(str(branch))
            yield from targets(branch, key)
    elif isinstance(tree, list):
        for place, branch in enumerate(tree):
            yield from targets(branch, f"{prefix}[{place}]")


def is_ours(target: str) -> bool:
    """Whether a name stands for a class or a metric of this project: not for what one of its modules has imported."""
    if target.partition(".")[0] != OURS:
        return False
    try:
        found = get_object(target)
    except Exception:
        return True  # there is none: whoever builds it says what is wrong with the name
    home = str(getattr(found, "__module__", ""))
    return home.startswith(METRICS) or (isinstance(found, type) and home.partition(".")[0] == OURS)

"""Where each value of a configuration comes from: a file of `conf/`, or the command line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rsgrpo.command_line.same_run import is_at

COMMAND_LINE = "command line"


class Origin(NamedTuple):
    """One key of a configuration."""

    key: str
    value: str
    """As it stands, and after it what a reference in it leads to."""
    source: str
    """The file that says so, `conf/model/tiny.yaml`, or the command line."""


def origins(words: Sequence[str], config: str = "config") -> list[Origin]:
    """Every key of the configuration that these overrides compose, in its order."""
    cfg = hydra.compose(config, list(words))
    files: dict[str, str] = {}
    for file, content in _files(words, config):
        files |= dict.fromkeys((key for key, _ in _leaves(OmegaConf.to_container(content))), file)
    given = _keys_given(words)
    return [
        Origin(
            key,
            _shown(cfg, key, raw),
            COMMAND_LINE if any(is_at(key, g) for g in given) else files.get(key, COMMAND_LINE),
        )
        for key, raw in _leaves(OmegaConf.to_container(cfg))
    ]


def _files(words: Sequence[str], config: str) -> Iterator[tuple[str, DictConfig]]:
    """The files that are merged, the ones that win last, and what each of them says at its place."""
    loader: Any = GlobalHydra.instance().config_loader()
    for default in loader.compute_defaults_list(config, list(words), RunMode.RUN).defaults:
        if not default.config_path.startswith("hydra/"):
            loaded = loader._load_single_config(default, loader.repository)
            yield _name(loaded.path, default), loaded.config


def _name(place: str, default: ResultDefault) -> str:
    """`conf/model/tiny.yaml`, by the place where Hydra has found the file."""
    return f"{Path(place.partition('://')[2]).name}/{str(default.config_path).removesuffix('.yaml')}.yaml"


def _keys_given(words: Sequence[str]) -> list[str]:
    """The keys that overrides set, without the choices of groups, whose values stand in files."""
    loader = GlobalHydra.instance().config_loader()
    read = OverridesParser.create().parse_overrides(list(words))
    return [o.key_or_group for o in read if not o.is_delete() and not loader.get_group_options(o.key_or_group)]


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every value in a mapping."""
    for name, branch in tree.items():
        key = f"{prefix}{name}"
        if isinstance(branch, dict) and branch:
            yield from _leaves(branch, f"{key}.")
        else:
            yield key, branch


def _shown(cfg: DictConfig, key: str, raw: Any) -> str:
    """A value as YAML writes it on one line; of a reference, the value that it leads to as well, if it does already."""
    if not isinstance(raw, str) or "${" not in raw or "${hydra:" in raw:
        return _text(raw)
    try:
        value = OmegaConf.select(cfg, key)
    except OmegaConfBaseException:
        return raw
    return raw if isinstance(value, DictConfig) else f"{_text(value)} ({raw})"


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value).replace("\n", "\\n") if value != "" else "''"

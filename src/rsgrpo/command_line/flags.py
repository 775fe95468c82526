"""The flags of a command line, and the folders of configuration that they name."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import yaml
from hydra._internal.utils import get_args_parser

from rsgrpo import run_folder
from rsgrpo.command_line import program
from rsgrpo.command_line.keys import shown, unknown_key
from rsgrpo.errors import UserError

COMMANDS = ("run", "multirun", "cfg", "info", "shell_completion", "hydra_help", "help")
"""Flags that say what to do instead of a run: one at a time."""


def read_flags(arguments: Sequence[str], conf: Path) -> argparse.Namespace:
    """Flags and overrides in any order, as Hydra's own parser knows them."""
    parser = get_args_parser()
    parser.error = _refuse_flag
    given, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        raise UserError(_no_such_flag(unknown[0], arguments, conf))
    chosen = [f"--{name.replace('_', '-')}" for name in COMMANDS if getattr(given, name)]
    if len(chosen) > 1:
        raise UserError(f"{chosen[0]} and {chosen[1]} exclude each other; leave one of them out")
    if given.resolve and given.cfg is None:
        raise UserError("--resolve shows a configuration with its references resolved; add --cfg job")
    if given.experimental_rerun is not None:
        raise UserError(
            f"--experimental-rerun={given.experimental_rerun} would run a pickle; resume a run with ckpt=outputs/RUN"
        )
    return given


def _refuse_flag(message: str) -> NoReturn:
    raise UserError(f"{message.removeprefix('argument ')}; `{program.typed()} --help` lists the flags")


def _no_such_flag(word: str, arguments: Sequence[str], conf: Path) -> str:
    """`--seed 3` and `--seed=3` mean `seed=3`."""
    key, _, value = word.lstrip("-").partition("=")
    after = [following for following in arguments[arguments.index(word) + 1 :][:1] if "=" not in following]
    setting = f"{key}={value or next(iter(after), '...')}"
    if (unknown := unknown_key(key, conf)) is None:
        return f"{shown(word)}: no such flag; settings are written without dashes: {shown(setting)}"
    return f"{shown(word)}: no such flag, and {unknown}"


def long_forms(given: argparse.Namespace) -> tuple[str, ...]:
    """The flags that were given: `-m` and `--multi` are `--multirun`."""
    named = {f"--{name.replace('_', '-')}": value for name, value in vars(given).items() if name != "overrides"}
    return tuple(
        name if value is True else f"{name}={value}" for name, value in named.items() if value not in (None, False)
    )


def configuration(given: argparse.Namespace, conf: Path) -> Path:
    """The folder of the configuration; refuses an incomplete one, which Hydra would run."""
    if given.config_path is None and given.config_name is None:
        return conf
    flag = "--config-path" if given.config_name is None else "--config-name"
    folder = conf if given.config_path is None else _from_here(Path(given.config_path), conf.parent)
    file = folder / f"{str(given.config_name or 'config').removesuffix('.yaml')}.yaml"
    what = f"{flag}={shown(given.config_path if given.config_name is None else given.config_name)}"
    if (folder / run_folder.OVERRIDES).exists():
        raise UserError(f"{what} is the folder of a run; go on with that run: ckpt={folder}")
    cure = "leave it out, or put groups of your own into a folder and add it with --config-dir=FOLDER"
    if not file.is_file():
        raise UserError(f"{what}: there is no file {file}; {cure}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict) or not {"defaults", "hydra"} <= content.keys():
        raise UserError(f"{what}: {file} is not a whole configuration (no defaults, or no hydra section); {cure}")
    if given.config_path is not None:
        given.config_path = str(folder)
    return folder


def _from_here(folder: Path, otherwise: Path) -> Path:
    """A relative folder is one of the working directory, or else of the program's own."""
    return folder.resolve() if folder.is_dir() else otherwise / folder


def own_folder(name: str) -> Path:
    """The user's own folder of configuration, whole.

    Raises:
        UserError: when there is no such folder.
    """
    if not Path(name).is_dir():
        raise UserError(f"--config-dir={shown(name)}: no such folder; name one that holds groups, or leave it out")
    return Path(name).resolve()

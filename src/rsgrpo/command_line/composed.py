"""What every composed configuration is checked for: each setting is read, and each reference leads somewhere."""

import re

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError

from rsgrpo.command_line.arguments import CommandLine, sections_added
from rsgrpo.command_line.keys import ABROAD, PENALTY, unknown_key
from rsgrpo.command_line.own_names import CONF
from rsgrpo.errors import UserError


def check_composed(cfg: DictConfig, line: CommandLine) -> None:
    """Refuse what nothing reads, and references that lead nowhere.

    Raises:
        UserError: naming the key.
        OmegaConfBaseException: for a reference.
    """
    _check_read(cfg, line)
    _check_references(cfg)


def _check_read(cfg: DictConfig, line: CommandLine) -> None:
    """Refuse a section of the user's that nothing reads, neither a task nor a reference: `+seeds=3`.

    Raises:
        UserError: naming its key.
    """
    words = " ".join(str(override.input_line) for override in line.overrides)
    for name in sections_added(line):
        if name in cfg and not re.search(rf"\$\{{{re.escape(name)}\b", words):
            said = unknown_key(name, CONF) if name.rpartition(".")[2] in (*PENALTY, *ABROAD) else None
            raise UserError(said or f"{name}: nothing reads this key; leave it out")


def _check_references(cfg: DictConfig) -> None:
    """Follow every `${...}`: a run must not end on one that leads nowhere when it is first needed."""
    try:
        OmegaConf.to_container(cfg, resolve=True)
    except InterpolationToMissingValueError:
        return  # whoever needs the value says that it is not set

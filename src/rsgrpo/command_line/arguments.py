"""The words of a command line before Hydra reads them: flags, overrides, choices of groups."""

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType, RangeSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

from rsgrpo import run_folder
from rsgrpo.command_line.flags import configuration, long_forms, own_folder, read_flags
from rsgrpo.command_line.keys import LAUNCHER, PLACED, SECTIONS, choices, groups_of, shown, unknown_choice, unknown_key
from rsgrpo.command_line.same_run import is_at
from rsgrpo.errors import UserError

FREE = (
    *(r"hydra\.run\.dir", r"hydra\.sweep", r"hydra[./]launcher", r"hydra[./]sweeper", r"hydra\.searchpath"),
    r"hydra\.job\.num",
)
"""What may be set of Hydra itself: where runs lie, how the jobs of a sweep are started, and which of them this is."""

OPTIONAL = ("term/kl", "term/entropy")
"""Groups of which a run has no choice by default."""

OPEN = ("model.chat_template_kwargs", "optimizer.lr_schedule_args", "data.settings")
"""Mappings whose keys are those of a template, a schedule or a task family: they are added without a `+`."""

MOST_JOBS = 1000
"""Jobs of a sweep: all of them are composed before the first one begins."""


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """What was typed, in order."""

    flags: tuple[str, ...]
    """In their long forms, a value joined by `=`."""
    overrides: tuple[Override, ...]
    """As Hydra reads them; where a key is set twice, the last value counts."""
    conf: Path
    """The folder of the configuration, which `--config-path` may name."""
    own: Path | None
    """The user's own folder of configuration, that of `--config-dir`."""
    launching: tuple[Override, ...] = ()
    """What starts the jobs of a sweep, and how: `launcher=joblib launcher.n_jobs=4`. No job is any the wiser."""

    @property
    def words(self) -> list[str]:
        """The command line for Hydra: flags first, since argparse takes none between two overrides."""
        return [*self.flags, *(str(override.input_line) for override in self.overrides)]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where groups lie."""
        return (self.conf,) if self.own is None else (self.conf, self.own)

    @property
    def is_sweep(self) -> bool:
        return "--multirun" in self.flags


def read_command_line(arguments: Sequence[str], conf: Path) -> CommandLine:
    """The command line in order.

    Raises:
        UserError: for flags that do not exist or exclude each other, for words that are no overrides, and for choices
            of groups that Hydra would answer with a traceback or ignore.
    """
    given = read_flags(arguments, conf)
    conf = configuration(given, conf)
    own = None if given.config_dir is None else own_folder(given.config_dir)
    overrides = tuple(_last_of_each([_override(_without_plus(word, conf)) for word in given.overrides]))
    launching = tuple(override for override in overrides if is_at(override.key_or_group, LAUNCHER))
    overrides = tuple(override for override in overrides if not is_at(override.key_or_group, LAUNCHER))
    line = CommandLine(flags=long_forms(given), overrides=overrides, conf=conf, own=own, launching=launching)
    for override in overrides:
        _check_group(override, line)
        _check_reserved(override)
    if launching and not line.is_sweep:
        raise UserError(
            f"{shown(launching[0].input_line)}: it starts the jobs of a sweep, which needs -m; leave it out"
        )
    for override in launching:
        _check_launcher(override, line)
    if given.package is not None and (unknown := unknown_key(given.package, conf, groups_chosen(line))) is not None:
        raise UserError(f"--package={unknown}")
    if line.is_sweep:
        _check_sweep(line)
    return line


def words_of_job() -> list[str]:
    """The overrides of the job that is running as they were typed: Hydra's own list would follow their references."""
    words = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [run_folder.as_typed(word) for word in cast(list[str], words)]


def line_of_job() -> CommandLine:
    """The overrides of the job that is running, which in a sweep are its own."""
    job = HydraConfig.get()
    folders = {source.provider: Path(source.path) for source in job.runtime.config_sources if source.schema == "file"}
    overrides = OverridesParser.create().parse_overrides(words_of_job())
    return CommandLine(flags=(), overrides=tuple(overrides), conf=folders["main"], own=folders.get("command-line"))


def _override(word: str) -> Override:
    """One override as Hydra's grammar reads it."""
    try:
        override = OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError):  # brackets that are nested hundreds deep
        raise UserError(_unreadable(word)) from None
    if not override.key_or_group:
        raise UserError(f"{shown(word)}: names no key; write key=value")
    if override.type == OverrideType.CHANGE and any(is_at(override.key_or_group, place) for place in OPEN):
        return _override(f"++{word}")
    return override


def _without_plus(word: str, conf: Path) -> str:
    """`+term/kl=k3` as `term/kl=k3`: of these groups a run has none unless it is told, so both are natural."""
    group = word.lstrip("+").partition("=")[0]
    return word.lstrip("+") if group in OPTIONAL and group in groups_of(conf) else word


def _unreadable(word: str) -> str:
    key, equals, value = word.partition("=")
    head = f"{shown(word)}: cannot be read"
    if not equals or not key.strip():
        return f"{head}; write key=value without spaces"
    if value.lstrip().startswith(("[", "{")):
        inner = re.sub(r"(?<=[\[{,])[^\s,\[\]{}'\"]+=[^\s,\[\]{}'\"]+", lambda found: f'"{found[0]}"', value)
        whole = f"{key.strip()}={inner}"
        if inner != value and _is_readable(whole) and shown(whole) == whole:  # words of a command line in a list
            return f"{head}; quote what holds a =: {shlex.quote(whole)}"
        return f"{head}; write no spaces outside of quotes, and close every bracket"
    escaped = value.strip("\"'").replace("\\", "\\\\").replace('"', '\\"')
    quoted = f'{key.strip()}="{escaped}"'
    if not _is_readable(quoted) or shown(quoted) != quoted:
        return f"{head}; write key=value without spaces, special characters in quotes"
    return f"{head}; quote what is not a plain word: {shlex.quote(quoted)}"


def _is_readable(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError):
        return False
    return True


def _last_of_each(overrides: Sequence[Override]) -> Iterable[Override]:
    """Where a key or group is set twice, only the last one: Hydra does so for keys, and refuses groups."""
    last = {_place(override): i for i, override in enumerate(overrides)}
    return (o for i, o in enumerate(overrides) if o.type != OverrideType.CHANGE or last[_place(o)] == i)


def _place(override: Override) -> tuple[Any, ...]:
    return override.type, override.key_or_group, override.package


def _check_group(override: Override, line: CommandLine) -> None:
    """Refuse a choice that a group does not have.

    Raises:
        UserError: naming the choices.
    """
    group, word = override.key_or_group, str(override.input_line)
    if group == PLACED and override.package is None and not override.is_delete():
        choice = word.partition("=")[2]
        raise UserError(f"{shown(word)}: say where it goes: +{PLACED}@data.tests.NAME={choice} adds a test set")
    if group not in groups_of(*line.folders):
        _check_section(override, line)
        return
    if (override.is_add() or override.is_force_add()) and override.package is None and _is_chosen_already(group, line):
        raise UserError(f"{shown(word)}: a run has one of this group; swap it without the +: {word.lstrip('+')}")
    known = ", ".join(choices(group, *line.folders))
    if override.is_delete():
        if override.package is None:
            raise UserError(
                f"{shown(word)}: a run needs its {group}; leave this out, or choose another: {group} is one of {known}"
            )
        return
    if not override.is_sweep_override():
        text = text_of(override)
        if not isinstance(text, str):
            raise UserError(unknown_choice(group, _as_written(text), known))


def text_of(override: Override) -> object:
    """The value of a word, without its quotes if it has any."""
    return getattr(override.value(), "text", override.value())


def _as_written(value: object) -> str:
    return "null" if value is None else str(value)


def _check_section(override: Override, line: CommandLine) -> None:
    """Refuse one value for a section of keys.

    Raises:
        UserError: naming keys of it.
    """
    key = override.key_or_group
    if override.is_delete() or not isinstance(_content(line.conf).get(key), dict):
        return
    value = None if override.is_sweep_override() else override.value()
    if not isinstance(value, dict):
        raise UserError(
            f"{shown(override.input_line)}: {key} is not a group with choices, it has keys of its own; "
            f"{SECTIONS.get(key, 'set those')}"
        )


def _is_chosen_already(group: str, line: CommandLine) -> bool:
    """Whether the defaults list names a group: one that it does not name is added with a `+`."""
    return any(isinstance(entry, dict) and group in entry for entry in _content(line.conf).get("defaults", ()))


def _content(conf: Path) -> dict[str, Any]:
    return yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))


def _check_reserved(override: Override) -> None:
    """Refuse what would write into a run folder beside the run, or change how Hydra calls a class or a task.

    Raises:
        UserError: naming the key.
    """
    key, word = override.key_or_group, shown(override.input_line)
    if key == "task._target_":
        raise UserError(f"{word}: a task is chosen by its name; leave this out, and say task=train for example")
    last = key.rpartition(".")[2]
    if last.startswith("_") and last != "_target_":
        raise UserError(f"{word}: says how Hydra calls a class, which a run leaves as it is; leave this out")
    if re.match("hydra(?![^./])", key) and not any(re.match(rf"{free}(?![^./])", key) for free in FREE):
        raise UserError(f"{word}: a run leaves this part of Hydra as it is; leave this out")


def sections_added(line: CommandLine) -> set[str]:
    """The first words of keys that were added with `+` and that no configuration has."""
    known = {*_content(line.conf), *(group.split("/")[0] for group in groups_of(*line.folders))}
    return {o.key_or_group.split(".")[0] for o in line.overrides if o.is_add() or o.is_force_add()} - known


def groups_chosen(line: CommandLine) -> list[str]:
    """The overrides that choose, which decide what keys there are."""
    known = groups_of(*line.folders)
    return [
        str(override.input_line)
        for override in line.overrides
        if override.key_or_group in known and not override.is_delete() and not override.is_sweep_override()
    ]


def _check_launcher(override: Override, line: CommandLine) -> None:
    """Refuse a launcher that there is not, and several.

    Raises:
        UserError: naming the launchers.
    """
    known = choices(LAUNCHER, *line.folders)
    if override.is_sweep_override() or override.is_delete():
        raise UserError(
            f"{shown(override.input_line)}: a sweep has one launcher; {LAUNCHER} is one of {', '.join(known)}, and "
            "without it jobs take turns"
        )
    text = text_of(override)
    if override.key_or_group == LAUNCHER and text not in known:
        raise UserError(unknown_choice(LAUNCHER, _as_written(text), ", ".join(known)))


def _check_sweep(line: CommandLine) -> None:
    """Refuse more jobs than can be composed before the first one begins.

    Raises:
        UserError: for too many jobs.
    """
    jobs = math.prod(_size(override) for override in line.overrides if override.is_sweep_override())
    if jobs > MOST_JOBS:
        raise UserError(
            f"--multirun: {jobs:,} jobs are more than the {MOST_JOBS:,} that one sweep takes; sweep over fewer values"
        )


def _size(override: Override) -> int:
    """How many values a sweep has."""
    sweep = override.value()
    if isinstance(sweep, RangeSweep):
        start, stop, step = (float(end if end is not None else 0) for end in (sweep.start, sweep.stop, sweep.step))
        return max(1, math.ceil((stop - start) / step)) if step and math.isfinite((stop - start) / step) else 1
    return max(1, len(sweep.list)) if isinstance(sweep, ChoiceSweep) else 1

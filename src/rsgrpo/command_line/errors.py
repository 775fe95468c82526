"""One clear sentence for each mistake that Hydra or OmegaConf finds: the key and the cure."""

import re
from collections.abc import Sequence

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from rsgrpo.command_line.arguments import CommandLine, groups_chosen
from rsgrpo.command_line.keys import choices, groups_of, shown, unknown_choice, unknown_key
from rsgrpo.command_line.own_names import in_keys
from rsgrpo.errors import UserError


def explain(error: Exception, line: CommandLine) -> str:
    """What to tell the user about an exception from composing or reading the configuration of this command line."""
    if isinstance(error, UserError):
        return in_keys(error)
    text = str(error)
    if not isinstance(error, HydraException) and isinstance(error, OSError):
        if error.filename is None:
            return f"the output cannot be written ({error.strerror}); free some space, or send it elsewhere"
        key = "hydra.sweep.dir" if "--multirun" in line.flags else "hydra.run.dir"
        return f"run folder {shown(error.filename)} cannot be made ({error.strerror}); choose another: {key}=..."
    return (
        _of_choice(text, line)
        or _of_key(text, line)
        or _of_value(error, line.overrides)
        or _of_reference(error, line.overrides)
        or _as_it_is(text)
    )


def _of_choice(text: str, line: CommandLine) -> str | None:
    """A choice that no file has."""
    found = re.search(r"Could not find '([^'\n]+)'", text) or re.search(r"Could not load '([^'\n]+)'", text)
    if not found or "/" not in found[1]:
        return None
    group, name = _split(found[1], line)
    options = text.partition("Available options")[2].partition("Config search path")[0]
    known = choices(group, *line.folders) or re.findall(r"\t(\w+)", options)
    said = unknown_choice(group, name, ", ".join(known))
    if group not in ("hydra/launcher", "hydra/sweeper"):
        return said
    return f"{said}; others are plug-ins: pip install hydra-joblib-launcher, for example"


def _split(choice: str, line: CommandLine) -> tuple[str, str]:
    """`model/a/b` -> (`model`, `a/b`) where `model/a` is not a group."""
    owners = [group for group in groups_of(*line.folders) if choice.startswith(f"{group}/")]
    group = max(owners, key=len) if owners else choice.rpartition("/")[0]
    return group, choice[len(group) + 1 :]


def _of_key(text: str, line: CommandLine) -> str | None:
    """A key that does not exist, or one that does and was added."""
    several = re.search(r"Ambiguous value for argument '([^']+)'", text)
    if several:
        return (
            f"{shown(several[1])}: several values make a sweep, which needs -m; one value that holds commas is quoted"
        )
    there = re.search(r"Could not append to config\. An item is already at '([^']+)'", text)
    if there:
        return f"{there[1]}: this key exists already; set it without the +: {there[1]}=..."
    other = re.search(r"The value of '([^']+)' is .* and not", text)
    if other:
        return f"~{other[1]}: it has another value; leave the value out: ~{other[1]}"
    absent = re.search(r"Could not delete from config\. '([^']+)' does not exist", text)
    found = (
        absent
        or re.search(r"Could not override '([^']+)'", text)
        or re.search(r"Key '([^']+)' is not in struct", text)
        or re.search(r"Missing key ([\w.]+)", text)
    )
    if not found:
        return None
    full = re.search(r"full_key: (\S+)", text)
    key = full[1] if full and full[1].endswith(found[1]) else found[1]
    taken = [
        o for o in line.overrides if o.is_delete() and (key == o.key_or_group or key.startswith(f"{o.key_or_group}."))
    ]
    if taken and not absent:
        return f"{shown(taken[0].input_line)}: the run needs this key; leave this out"
    given = [o for o in line.overrides if o.key_or_group == key and not o.is_delete()]
    value = str(given[0].input_line).partition("=")[2] if given else None
    return unknown_key(key, line.conf, groups_chosen(line), value=value) or f"{key} cannot be set like this; remove it"


def _of_reference(error: Exception, overrides: Sequence[Override]) -> str | None:
    """A reference, `${...}`, to what does not exist or to itself."""
    if not isinstance(error, InterpolationResolutionError | OmegaConfBaseException):
        return None
    given = next((override for override in overrides if "${" in str(override.input_line)), None)
    reason = _first_sentence(str(error)).partition(" raised while resolving interpolation: ")[2]
    reason = (reason or _first_sentence(str(error))).strip("\"'")
    if given is not None:
        return f"{shown(given.input_line)}: the reference leads nowhere ({reason}); write the value itself"
    return None


def _of_value(error: Exception, overrides: Sequence[Override]) -> str | None:
    """A value where a section should be, or one that Hydra refuses for a key of its own, or cannot merge."""
    section = re.search(r"node `([^`]+)` is not a container", str(error))
    given = next((o for o in overrides if section and o.key_or_group == section[1]), None)
    if section:
        word = section[1] if given is None else shown(given.input_line)
        return f"{word}: {section[1]} has keys of its own, set those: leave this out"
    found = re.search(r"Error merging override (.*)", str(error), re.DOTALL)
    if found:
        cause = f" ({_first_sentence(str(error.__cause__))})" if error.__cause__ is not None else ""
        return f"{shown(found[1].strip())}: this key takes no such value{cause}; leave it out"
    return None


def _as_it_is(text: str) -> str:
    """An error that nobody foresaw, with its key if it has one."""
    key = re.search(r"full_key: (\S+)", text)
    return f"{key[1]}: {_first_sentence(text)}" if key else _first_sentence(text)


def _first_sentence(text: str) -> str:
    """The first line of a message of Hydra's, whose others hold advice for its own users."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return shown(lines[0]) if lines else "the configuration cannot be composed"

"""The one door through which the files of a run folder are read.

A file that is missing, damaged or of another shape is refused with a sentence, whatever was done to it.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from rsgrpo.errors import UserError
from rsgrpo.run_folder.names import BEST, CHECKPOINTS, CONFIG, DONE, OVERRIDES, RUN
from rsgrpo.run_folder.shapes import problem_of

_CURES = {
    DONE: "remove it, and the run counts as not finished",
    BEST: "remove it, and the best checkpoint is marked anew",
}

_COPY = "restore it from a copy of the run folder, or start a new run"


class _Damaged(ValueError):
    """What is wrong with the content of a file."""


def read_json(file: Path) -> dict[str, Any]:
    """The content of a file that is one JSON object.

    Raises:
        UserError: when it is missing, damaged or of another shape.
    """
    return _read(file, _json)


def read_config(run: Path) -> dict[str, Any]:
    """The configuration that a run was started or resumed with last.

    Raises:
        UserError: when it is missing, damaged or of another shape.
    """
    return _read(run / CONFIG, _yaml)


def read_overrides(run: Path) -> list[str]:
    """The words that a run was started with.

    Raises:
        UserError: when they are missing, damaged or of another shape.
    """
    return _read(run / OVERRIDES, _yaml)


def finished_iterations(run: Path) -> int | None:
    """How many iterations a run was finished after; None when it was not.

    Raises:
        UserError: when its mark is damaged.
    """
    return read_json(run / DONE)["iteration"] if os.path.lexists(run / DONE) else None


def run_id(run: Path) -> str | None:
    """What tells a run from all others; None for a run of an earlier version, and where there is no `run.json`.

    Raises:
        UserError: when `run.json` is damaged.
    """
    return read_json(run / RUN).get("id") if os.path.lexists(run / RUN) else None


def best(run: Path) -> dict[str, Any] | None:
    """What `mark_best` recorded last: `iteration`, `metric` and `value`; None when nothing was.

    Raises:
        UserError: when the mark is damaged.
    """
    file = run / CHECKPOINTS / BEST
    return read_json(file) if os.path.lexists(file) else None


def read(file: Path) -> list[dict[str, Any]]:
    """All records of a JSON Lines file, without a last one that was cut short; none when there is no such file.

    Raises:
        UserError: naming the first line that is damaged or of another shape.
    """
    return [record for _, record in read_lines(file)]


def read_lines(file: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Every line of a JSON Lines file as it stands, and its record; see `read`."""
    if not os.path.lexists(file):
        return []
    lines = [line for line in _bytes(file).split(b"\n")[:-1]]
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append((line + b"\n", _content(file.name, line, _json)))
        except _Damaged as problem:
            raise UserError(
                f"{file} is damaged in line {number}: {problem}; take that line out: sed -i {number}d '{file}'"
            ) from None
    return found


def damage_of_json(file: Path) -> str | None:
    """What is wrong with a file that is one JSON object, without its path; None when it can be read."""
    try:
        _content(file.name, _bytes(file), _json)
    except (_Damaged, UserError) as problem:
        return str(problem)
    return None


def _read(file: Path, parse: Callable[[str], Any]) -> Any:
    if not os.path.lexists(file):
        raise UserError(f"{file} is missing; {_COPY}")
    try:
        return _content(file.name, _bytes(file), parse)
    except _Damaged as problem:
        raise UserError(f"{file} is damaged: {problem}; {_CURES.get(file.name, _COPY)}") from None


def _bytes(file: Path) -> bytes:
    """The content of an ordinary file, or of a link to one; reading anything else might never end.

    Raises:
        UserError: when there is none.
    """
    cure = _CURES.get(file.name, _COPY)
    if not file.is_file():
        raise UserError(f"{file} is not a file; {cure}")
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); {cure}") from None


def _content(name: str, content: bytes, parse: Callable[[str], Any]) -> Any:
    """What was written, once it is known to have the shape of its name.

    Raises:
        _Damaged: otherwise.
    """
    if not content.strip():
        raise _Damaged("it is empty")
    try:
        parsed = parse(content.decode())
    except UnicodeDecodeError as error:
        raise _Damaged(f"byte {error.start + 1} is not UTF-8") from None
    except RecursionError:
        raise _Damaged("it is nested too deeply") from None
    problem = problem_of(name, parsed)
    if problem is not None:
        raise _Damaged(problem)
    return parsed


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise _Damaged(f"it is not JSON ({error.msg}, character {error.pos + 1})") from None
    except _Damaged:
        raise
    except ValueError:  # Python converts no whole number of more than 4,300 digits
        raise _Damaged("it has a number that is too long") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping, unless it has a key twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Damaged(f"it has {max(keys, key=keys.count)} twice")
    return content


class _PlainYaml(yaml.SafeLoader):
    """Values alone: no key twice, and nothing that stands for something else, which could grow without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _Damaged("it has an alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if not all(isinstance(key, str) for key in keys):
            raise _Damaged("it has a key that is not text")
        _once([(key, None) for key in keys])
        return super().construct_mapping(node, deep)


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, _PlainYaml)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}, " if error.problem_mark else ""
        raise _Damaged(f"it is not YAML ({line}{' '.join(str(error.problem).split())})") from None
    except _Damaged:
        raise
    except (yaml.YAMLError, ValueError) as error:  # a character that YAML does not allow, a date that does not exist
        raise _Damaged(f"it is not YAML ({' '.join(str(error).split())[:80]})") from None

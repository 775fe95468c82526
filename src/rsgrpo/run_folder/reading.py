"""The one door through which the files of a run folder are read.

A file that is missing, damaged or of another shape is refused with a sentence, whatever was done to it.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
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
    config = _read(run / CONFIG, _yaml)
    optimizer = config.get("optimizer")
    if isinstance(optimizer, dict) and "lr" in optimizer:  # of an earlier version, whose rate was constant
        optimizer.setdefault("lr_schedule", "constant")
    return config


def read_overrides(run: Path) -> list[str]:
    """The words that a run was started with.

    Raises:
        UserError: when they are missing, damaged or of another shape.
    """
    return [as_typed(word) for word in _read(run / OVERRIDES, _yaml)]


def as_typed(word: object) -> str:
    r"""A word of a job of a sweep as it was typed: Hydra escapes its references.

    >>> print(as_typed(r"model.pretrain.seed=$\{seed\}"))
    model.pretrain.seed=${seed}
    """
    return re.sub(r"\$\\\{(.*?)\\\}", r"${\1}", str(word))


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
    lines = _bytes(file).split(b"\n")[:-1]
    return [(line + b"\n", _line(file, number, line)) for number, line in enumerate(lines, start=1)]


class ByIteration(Mapping[int, list[dict[str, Any]]]):
    """The records of a JSON Lines file by iteration, each parsed when it is first asked for; none without a file.

    Long runs leave many evaluations, and whoever compares the ends needs two of them.
    """

    def __init__(self, file: Path) -> None:
        """Only looks where each iteration stands.

        Raises:
            UserError: for a line that does not begin with its iteration, and is damaged.
        """
        self._file = file
        self._lines: dict[int, list[tuple[int, bytes]]] = {}
        lines = _bytes(file).split(b"\n")[:-1] if os.path.lexists(file) else []
        for number, line in enumerate(lines, start=1):
            begins = _ITERATION.match(line)
            iteration = int(begins[1]) if begins else _line(file, number, line)["iteration"]
            self._lines.setdefault(iteration, []).append((number, line))

    def __getitem__(self, iteration: int) -> list[dict[str, Any]]:
        """The records of an iteration.

        Raises:
            UserError: naming the first line that is damaged or of another shape.
        """
        return [_line(self._file, number, line) for number, line in self._lines[iteration]]

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._lines))

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, iteration: object) -> bool:
        return iteration in self._lines


def read_visits(file: Path) -> Iterator[tuple[int, str, int, int]]:
    """(iteration, prompt, n, correct) of each record of `prompts.jsonl`, up to a last one that was cut short.

    A run of weeks leaves millions of them: lines that begin as this project writes them are not parsed any further.

    Raises:
        UserError: naming the first line that is damaged or of another shape.
    """
    lines = _bytes(file).split(b"\n")[:-1] if os.path.lexists(file) else []
    prompts: dict[bytes, str] = {}
    for number, line in enumerate(lines, start=1):
        if begins := _VISIT.match(line):
            iteration, prompt, n, correct = begins.groups()
            if prompt not in prompts:
                prompts[prompt] = json.loads(prompt)
            yield int(iteration), prompts[prompt], int(n), int(correct)
        else:
            record = _line(file, number, line)
            yield record["iteration"], record["prompt"], record["n"], record["correct"]


_ITERATION = re.compile(rb'\{"iteration": (\d{1,15}),')
_VISIT = re.compile(
    rb'\{"iteration": (\d{1,15}), "prompt": ("(?:[^"\\]|\\.)*"), "n": (\d{1,15}), "correct": (\d{1,15})[,}]'
)


def _line(file: Path, number: int, line: bytes) -> dict[str, Any]:
    """The record of one line.

    Raises:
        UserError: when it is damaged or of another shape.
    """
    try:
        return _content(file.name, line, _json)
    except _Damaged as problem:
        raise UserError(
            f"{file} is damaged in line {number}: {problem}; take that line out: sed -i {number}d '{file}'"
        ) from None


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

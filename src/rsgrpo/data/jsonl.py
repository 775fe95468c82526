"""Problems from JSON Lines files of one's own."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from rsgrpo.types import FieldError, Problem, UserError, check_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """One problem a line, with its gold answer: `{"problem": "What is 1 + 1?", "answer": "2"}`.

    Every line is checked before anything runs.

    Raises:
        FieldError: when no path is given.
    """

    path: str
    """The training problems."""
    validation_path: str | None = None
    test_path: str | None = None
    problem_field: str = "problem"
    answer_field: str = "answer"
    suffix: str = ""
    """Appended to every problem."""
    max_prompt_tokens: int | None = None
    """Prompts with more tokens are dropped."""

    def __post_init__(self) -> None:
        check_fields(self, max_prompt_tokens=(1, math.inf))
        if not self.path:
            raise FieldError("path", self.path, "is empty", "name a JSON Lines file")

    def split(self, name: str) -> list[Problem]:
        """The problems of `train`, `validation` or `test`; empty when no file was named for it.

        Raises:
            UserError: naming the file, and the line, that is missing, malformed or without an answer.
        """
        key = {"train": "path", "validation": "validation_path", "test": "test_path"}[name]
        path = getattr(self, key)
        return [] if path is None else self._read(Path(path), key)

    def _read(self, path: Path, key: str) -> list[Problem]:
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except FileNotFoundError:
            raise UserError(f"data.{key}={path}: no such file; name an existing JSON Lines file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"data.{key}={path} cannot be read as UTF-8 text: {error}; name a JSON Lines file"
            ) from None
        problems = [self._problem(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
        lines_of: dict[str, str] = {}
        for problem in problems:
            if problem.id in lines_of:
                raise UserError(f"{problem.origin} has the id of {lines_of[problem.id]}; give every problem its own id")
            lines_of[problem.id] = problem.origin
        if not problems:
            raise UserError(f"data.{key}={path} holds no problem; name a file with one JSON object a line")
        return problems

    def _problem(self, line: str, path: Path, number: int) -> Problem:
        where = f"data file {path} line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = getattr(error, "msg", type(error).__name__)
            raise UserError(f"{where} is not JSON ({why}); write one JSON object a line") from None
        if not isinstance(record, dict):
            raise UserError(f"{where} is not a JSON object; write {{'problem': ..., 'answer': ...}}")
        text = self._text(record, self.problem_field, "problem_field", where)
        answer = self._text(record, self.answer_field, "answer_field", where)
        identity = number if record.get("id") is None else record["id"]
        return Problem(id=f"{path.stem}/{identity}", text=text + self.suffix, answer=answer, origin=where)

    def _text(self, record: dict[str, object], field: str, key: str, where: str) -> str:
        if field not in record:
            has = ", ".join(map(repr, record)) or "nothing"
            raise UserError(f"{where} has no field {field!r} (it has {has}); name the right one with data.{key}=...")
        value = record[field]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UserError(f"{where}: field {field!r} is {json.dumps(value)[:40]}; it must be text or a number")
        text = str(value)
        if not text.strip():
            raise UserError(f"{where}: field {field!r} is empty; fill it in or remove the line")
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UserError(f"{where}: field {field!r} holds half a character (a lone surrogate); mend the text")
        return text

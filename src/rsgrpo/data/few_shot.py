"""Worked examples as a configuration gives them: a list, or a file with one on each line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsgrpo.data.prompting import Example
from rsgrpo.data.rows import read_rows, text_of, value_at
from rsgrpo.errors import FieldError

PARTS = ("question", "answer")


def few_shot_of(given: object, *, suffix: str = "") -> tuple[Example, ...]:
    """The examples of a list of {question, answer}, or of a file with such columns; none for None.

    `suffix` is that of the problems: it is put after each question as well.

    Raises:
        FieldError: for anything else, under `few_shot`.
        UserError: naming the file, and the row, that is missing or malformed.
    """
    if given is None:
        return ()
    if isinstance(given, str) and given:
        rows = read_rows(Path(given).expanduser(), "few_shot", columns=PARTS)
        found = [
            Example(**{part: text_of(value_at(row, part, "few_shot"), row, part) for part in PARTS}) for row in rows
        ]
    elif isinstance(given, Sequence) and not isinstance(given, str) and given:
        found = [_example(item, place) for place, item in enumerate(given)]
    else:
        raise FieldError(
            "few_shot", given, "must be a list of {question, answer}, or a file with one on each line", TRY
        )
    for place, example in enumerate(found):
        for part in PARTS:
            if not getattr(example, part).strip():
                raise FieldError(f"few_shot.{place}.{part}", "", "is empty", "give it a text")
    return tuple(Example(question=example.question + suffix, answer=example.answer) for example in found)


TRY = 'try \'few_shot=[{question:"1 + 1?",answer:"2"}]\''


def _example(item: Any, place: int) -> Example:
    if not isinstance(item, Mapping) or set(item) != set(PARTS):
        raise FieldError(f"few_shot.{place}", item, "must have a question and an answer, and nothing else", TRY)
    for part in PARTS:
        if not isinstance(item[part], str | int | float) or isinstance(item[part], bool):
            raise FieldError(f"few_shot.{place}.{part}", item[part], "must be text", "put it in quotes")
    return Example(question=str(item["question"]), answer=str(item["answer"]))

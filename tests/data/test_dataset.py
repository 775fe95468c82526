import json
from pathlib import Path
from typing import Any

import pytest

from rsgrpo.data.dataset import UNWRAPPED, Dataset
from rsgrpo.errors import FieldError, UserError
from rsgrpo.types import Problem
from tests.data.tables import DAPO, DAPO_AFTER, DAPO_BEFORE, GSM8K, as_on_the_hub, dapo_row

DAPO_COLUMNS = {"problem": "prompt.0.content", "answer": "reward_model.ground_truth"}
DIGITS = "12345678901234567890123"


def lines(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(folder: Path, **settings: Any) -> list[Problem]:
    named: dict[str, Any] = {"name": "own"} | settings
    return Dataset(**named).read(key="", cache_dir=folder / "cache")


def answers(folder: Path, *written: object, **settings: Any) -> list[str]:
    rows = [{"problem": f"{i}?", "answer": answer} for i, answer in enumerate(written)]
    return [problem.answer for problem in read(folder, path=lines(folder, *rows), **settings)]


def test_the_wrapper_of_dapo_is_taken_off_and_golds_keep_their_digits(tmp_path: Path):
    rows = [dapo_row(1, gold=DIGITS), dapo_row(2, wrapped=False)]
    hub = as_on_the_hub(tmp_path / "repo", rows, DAPO)
    wrapped, bare = read(
        tmp_path, name="dapo17k", hub=hub, columns=DAPO_COLUMNS, strip_before=DAPO_BEFORE, strip_after=DAPO_AFTER
    )
    assert (wrapped.text, wrapped.answer, wrapped.id) == ("What is 1 + 1?", DIGITS, "dapo17k/1")
    assert wrapped.facts == {"dataset": "dapo17k"}
    assert (bare.text, bare.answer) == ("What is 2 + 1?", "3")
    assert bare.facts == {"dataset": "dapo17k", UNWRAPPED: True}
    assert bare.origin == f"{hub} train row 2"


def test_half_a_wrapper_is_no_wrapper(tmp_path: Path):
    path = lines(tmp_path, {"problem": "Solve: x", "answer": "1"}, {"problem": "Solve: x. End", "answer": "1"})
    half, whole = read(tmp_path, path=path, strip_before="Solve: ", strip_after=". End")
    assert (half.text, half.facts[UNWRAPPED]) == ("Solve: x", True)
    assert (whole.text, UNWRAPPED in whole.facts) == ("x", False)


def test_the_answer_of_gsm8k_follows_its_mark(tmp_path: Path):
    rows = [
        {"question": "a", "answer": "48/2 = <<48/2=24>>24 clips\n#### 72"},
        {"question": "b", "answer": "#### is not it\n####  2,125 "},
    ]
    hub = as_on_the_hub(tmp_path / "repo", rows, GSM8K)
    columns = {"problem": "question", "answer": "answer"}
    found = read(tmp_path, hub=hub, columns=columns, answer_after="####")
    assert [problem.answer for problem in found] == ["72", "2,125"]


def test_an_answer_without_its_mark_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"line 2: the answer has no '####'; .* set answer_after=null"):
        answers(tmp_path, "#### 3", "72", answer_after="####")


def test_the_end_of_an_answer_is_taken_away_where_it_is_there(tmp_path: Path):
    found = answers(tmp_path, "336^\\circ", "336 ^\\circ", "70", "^\\circ 3", 279, answer_strip="^\\circ")
    assert found == ["336", "336", "70", "^\\circ 3", "279"]


def test_answers_are_text_digit_by_digit(tmp_path: Path):
    assert answers(tmp_path, "073", 70, DIGITS, int(DIGITS), "0", " 5 ", 0.5) == [
        "073", "70", DIGITS, DIGITS, "0", " 5 ", "0.5",
    ]  # fmt: skip


def test_nothing_is_an_empty_answer_and_nothing_else_is(tmp_path: Path):
    assert answers(tmp_path, "", "  ", None, 0, "0") == ["", "", "", "0", "0"]


def test_a_problem_is_named_by_its_id_or_else_by_its_row(tmp_path: Path):
    path = lines(tmp_path, {"problem": "a", "answer": "1", "id": "t/1"}, {"problem": "b", "answer": "1", "id": None})
    assert [problem.id for problem in read(tmp_path, path=path)] == ["own/t/1", "own/2"]
    double = lines(tmp_path, {"problem": "a", "answer": "1", "id": 1}, {"problem": "b", "answer": "1", "id": 1})
    with pytest.raises(UserError, match=r"line 2 has the id of .* line 1; give every problem its own id"):
        read(tmp_path, path=double)


def test_a_column_that_is_not_there_is_named_with_its_key(tmp_path: Path):
    path = lines(tmp_path, {"question": "a", "answer": "1"})
    with pytest.raises(UserError, match=r"line 1 has no field 'problem' .*with tests\.x\.columns\.problem=\.\.\."):
        Dataset(name="x", path=path).read(key="tests.x.", cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, r"hub=None names no dataset; give a hub id, or a local file with path="),
        ({"hub": "a/b", "rows": 0}, r"rows=0 must be at least 1; try rows=1"),
        ({"hub": "a/b", "name": ""}, r"name= is empty"),
        ({"hub": "a/b", "columns": {"problem": "x"}}, r"columns=.* must name a problem and an answer"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(settings: dict[str, Any], says: str):
    named: dict[str, Any] = {"name": "own"} | settings
    with pytest.raises(FieldError, match=says):
        Dataset(**named)

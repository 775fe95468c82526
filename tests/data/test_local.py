import csv
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from rsgrpo.data.local import Local
from rsgrpo.errors import FieldError, UserError
from tests.data.tables import plainly


def write(folder: Path, *lines: str, name: str = "own.jsonl") -> str:
    path = folder / name
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return str(path)


GOOD = '{"problem": "What is 1 + 1?", "answer": "2"}'
OTHER = '{"problem": "What is 2 + 2?", "answer": "4"}'
THIRD = '{"problem": "What is 3 + 3?", "answer": "6"}'


def refusal(path: str) -> str:
    with pytest.raises(UserError) as caught:
        Local(path=path).split("train")
    return str(caught.value)


def test_a_good_file_becomes_problems_that_know_their_line(tmp_path: Path):
    path = write(tmp_path, GOOD, '{"problem": "2 + 2?", "answer": "4", "id": "b7", "level": 3}')
    first, second = Local(path=path).split("train")
    assert (first.text, first.answer, first.id) == ("What is 1 + 1?", "2", "own/1")
    assert (second.text, second.answer, second.id) == ("2 + 2?", "4", "own/b7")
    assert first.origin.endswith("own.jsonl line 1")
    assert second.origin.endswith("own.jsonl line 2")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("70", "70"),
        ('"073"', "073"),
        ('"00"', "00"),
        ("0", "0"),
        ("-12", "-12"),
        ("12345678901234567890123", "12345678901234567890123"),
        ('"12345678901234567890123"', "12345678901234567890123"),
        ("0.5", "0.5"),
        ('"\\\\frac{1}{2}"', "\\frac{1}{2}"),
        ('"Ünïcode √2"', "Ünïcode √2"),
    ],
)
def test_an_answer_keeps_its_text(tmp_path: Path, written: str, read: str):
    path = write(tmp_path, f'{{"problem": "x?", "answer": {written}}}')
    assert Local(path=path).split("train")[0].answer == read


def test_columns_and_suffix_are_configurable(tmp_path: Path):
    path = write(tmp_path, '{"question": "1 + 1?", "gold": 2, "problem": "another", "answer": "another"}')
    source = Local(path=path, columns={"problem": "question", "answer": "gold"}, suffix="\nBox it.")
    (problem,) = source.split("train")
    assert (problem.text, problem.answer) == ("1 + 1?\nBox it.", "2")


def test_each_split_is_read_from_its_own_file_and_is_empty_without_one(tmp_path: Path):
    train = write(tmp_path, GOOD)
    test = write(tmp_path, OTHER, OTHER, name="test.jsonl")
    source = Local(path=train, test_path=test)
    assert [len(source.split(name)) for name in ("train", "validation", "test")] == [1, 0, 2]


def test_blank_lines_are_skipped_and_line_numbers_stay_right(tmp_path: Path):
    path = write(tmp_path, "", GOOD, "   ", "\t", OTHER, "")
    assert [p.origin.rsplit(" ", 1)[1] for p in Local(path=path).split("train")] == ["2", "5"]
    message = refusal(write(tmp_path, GOOD, "", "", "not json"))
    assert "line 4" in message


def test_windows_line_ends_and_a_last_line_without_end_are_read(tmp_path: Path):
    path = tmp_path / "crlf.jsonl"
    path.write_bytes(f"{GOOD}\r\n{OTHER}\r\n{THIRD}".encode())
    found = Local(path=str(path)).split("train")
    assert [(p.answer, p.origin.rsplit(" ", 1)[1]) for p in found] == [("2", "1"), ("4", "2"), ("6", "3")]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
def test_line_separators_of_unicode_are_ordinary_characters_of_a_problem(tmp_path: Path, separator: str):
    # JSON allows them unescaped inside a string, and only \n ends a line of JSON Lines.
    line = json.dumps({"problem": f"one{separator}two", "answer": "2"}, ensure_ascii=False)
    assert separator in line
    found = Local(path=write(tmp_path, line, GOOD)).split("train")
    assert [p.text for p in found] == [f"one{separator}two", "What is 1 + 1?"]


def test_a_missing_file_is_named_with_its_key(tmp_path: Path):
    missing = str(tmp_path / "nowhere.jsonl")
    message = refusal(missing)
    assert f"path={missing}" in message
    assert "no such file; name an existing" in message
    path = write(tmp_path, GOOD)
    with pytest.raises(UserError, match=r"validation_path=.*nowhere.jsonl: no such file; name an existing"):
        Local(path=path, validation_path=missing).split("validation")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path):
    message = refusal(str(tmp_path))
    assert f"path={tmp_path}" in message
    assert "name a .jsonl, .json, .parquet or .csv file" in message


@pytest.mark.parametrize(
    ("line", "problem", "cure"),
    [
        ('{"problem": "x?", "answer": ', "is not JSON", "write one JSON object a line"),
        ("problem,answer", "is not JSON", "write one JSON object a line"),
        ('["x?", "2"]', "is a JSON array", "write one object a line"),
        ('"x?"', "is not a JSON object", "write {'problem': ..., 'answer': ...}"),
        ("null", "is not a JSON object", "write {'problem': ..., 'answer': ...}"),
        (
            '{"question": "x?", "answer": "2"}',
            "has no field 'problem' (it has 'question', 'answer')",
            "columns.problem=",
        ),
        ('{"problem": "x?", "gold": "2"}', "has no field 'answer' (it has 'problem', 'gold')", "columns.answer="),
        ("{}", "has no field 'problem' (it has nothing)", "columns.problem="),
        ('{"problem": "x?", "answer": true}', "field 'answer' is true", "must be text or a number"),
        ('{"problem": {"a": 1}, "answer": "2"}', "field 'problem' has parts ('a')", "columns.problem=problem.a"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_wrong_and_the_cure(tmp_path: Path, line: str, problem: str, cure: str):
    path = write(tmp_path, GOOD, GOOD, line, GOOD)
    message = refusal(path)
    assert f"{path} line 3" in message
    assert problem in message
    assert cure in message


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param("7" * 5000, "a whole number in it has more than 4,300 digits", id="digits"),
        pytest.param("[" * 100_000 + "]" * 100_000, "it is nested too deeply", id="brackets"),
    ],
)
def test_a_line_that_breaks_the_json_parser_is_refused_like_any_other(tmp_path: Path, value: str, why: str):
    path = write(tmp_path, GOOD, f'{{"problem": "x?", "answer": {value}}}')
    assert f"{path} line 2 is not JSON ({why}" in refusal(path)


def test_a_file_without_problems_is_refused(tmp_path: Path):
    for lines in ([], ["", "  "]):
        message = refusal(path := write(tmp_path, *lines))
        assert f"path={path} holds no problem" in message
        assert "give it one problem a line" in message


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"problem": "größer?", "answer": "2"}\n'.encode("latin-1"))
    message = refusal(str(path))
    assert f"path={path}" in message
    assert "UTF-8" in message
    assert "save it as UTF-8" in message


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"problem": "q"}, r"columns=.*must name a problem and an answer; try columns\.answer=answer"),
        ({"problem": "q", "answer": ""}, r"columns=.*must name a problem and an answer; try columns\.answer=answer"),
        ({}, r"columns=.*must name a problem and an answer; try columns\.problem=problem"),
        ({"a": "b"}, r"columns\.a=b is neither a problem nor an answer; remove columns\.a"),
    ],
)
def test_columns_that_do_not_name_both_are_refused(columns: dict[str, str], says: str):
    with pytest.raises(FieldError, match=says):
        Local(path="own.jsonl", columns=columns)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_every_format_gives_the_same_problems(tmp_path: Path, ending: str):
    rows = [{"id": "a", "problem": "1 + 1?", "answer": "2"}, {"id": "b", "problem": "No, or NA?\nSay.", "answer": "NA"}]
    path = tmp_path / f"own.{ending}"
    if ending == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif ending == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["id", "problem", "answer"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = Local(path=str(path)).split("train")
    assert [(p.id, p.text, p.answer) for p in found] == [(f"own/{r['id']}", r["problem"], r["answer"]) for r in rows]
    assert {p.facts["dataset"] for p in found} == {"own"}


def test_the_train_file_is_cleaned_and_counted_and_the_others_are_not(tmp_path: Path):
    wrong = '{"problem": "What  is 2 + 2", "answer": "5"}'
    more = [f'{{"problem": "What is {i} + 9?", "answer": "{i + 9}"}}' for i in range(3)]
    train = write(tmp_path, GOOD, OTHER, wrong, THIRD, THIRD, *more)
    validation = write(tmp_path, more[0], name="validation.jsonl")
    test = write(tmp_path, GOOD, GOOD, name="test.jsonl")
    source = Local(path=train, validation_path=validation, test_path=test)
    assert [p.answer for p in source.split("train")] == ["6", "10", "11"]
    assert source.removed("train") == {
        "with differing answers": 2,
        "repeated": 1,
        "also in the validation set": 1,
        "also in a test set": 1,
    }
    assert [len(source.split(name)) for name in ("validation", "test")] == [1, 2]
    assert source.removed("validation") == source.removed("test") == {}
    everything = Local(path=train, validation_path=validation, test_path=test, decontaminate=False)
    assert everything.removed("train") == {"with differing answers": 2, "repeated": 1}


def test_a_train_file_of_which_nothing_is_left_is_refused_with_the_counts(tmp_path: Path):
    path = write(tmp_path, GOOD)
    with pytest.raises(UserError, match=r"^path=.*1 also in a test set.*decontaminate=False"):
        Local(path=path, test_path=path).split("train")


def test_two_problems_of_one_id_are_refused_with_both_lines(tmp_path: Path):
    path = write(tmp_path, '{"problem": "a", "answer": "1", "id": 7}', '{"problem": "b", "answer": "1", "id": "7"}')
    message = refusal(path)
    assert "line 2 has the id of data file" in message
    assert message.endswith("line 1; give every problem its own id")


def test_an_empty_path_is_refused():
    with pytest.raises(FieldError, match=r"path=.*is empty; name a \.jsonl"):
        Local(path="")


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("math500", 500),
        ("aime24", 30),
        ("aime25", 30),
        ("hmmt_feb_2024", 30),
        ("hmmt_feb_2025", 30),
        ("cmimc_2025", 40),
        ("gsm8k_train", 7473),
        ("gsm8k_test", 1319),
        ("deepmath_sample", 4994),
        ("dapo17k", 17917),
    ],
)
def test_real_files_load_with_every_row_and_answer(shared: Path, name: str, rows: int):
    path = shared / "data" / f"{name}.jsonl"
    found = Local(path="train.jsonl", test_path=str(path)).split("test")
    with path.open(encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    assert len(found) == rows
    assert [(p.text, p.answer) for p in found] == [(row["problem"], str(row["answer"])) for row in expected]


def test_a_real_file_with_empty_golds_is_read_without_them(shared: Path):
    source = Local(path=str(shared / "data" / "math12k_train.jsonl"))
    assert len(source.split("train")) + sum(source.removed("train").values()) == 12_000
    assert plainly(source.removed("train"))["with an empty problem or answer"] == 2


LACKING = {
    "jsonl": '{"problem": "a", "answer": NaN}\n{"problem": "b", "answer": null}\n{"problem": "c", "answer": Infinity}\n'
    '{"problem": "d", "answer": ""}\n{"problem": null, "answer": 1}\n{"problem": " ", "answer": 1}\n'
    '{"problem": "e", "answer": ["5", "10"]}\n{"problem": "f", "answer": 1e-05}\n',
    "csv": 'problem,answer\na,nan\nb,\nc,inf\nd," "\n,1\n" ",1\ne,"[""5"", ""10""]"\nf,1e-05\n',
}


def lacking(folder: Path, ending: str) -> str:
    path = folder / f"own.{ending}"
    if ending == "parquet":
        nan = float("nan")
        rows = [("b", None), ("d", None), (None, 1.0), (" ", 1.0), ("a", nan), ("c", -float("inf")), ("f", 1e-05)]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"problem": p, "answer": a} for p, a in rows]), path)
    else:
        path.write_text(LACKING[ending])
    return str(path)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_rows_without_an_answer_are_left_out_of_every_split_and_counted_with_an_example(tmp_path: Path, ending: str):
    path = lacking(tmp_path, ending)
    test = Local(path="none", test_path=path)
    assert [(p.text, p.answer) for p in test.split("test")] == [("f", "0.00001")]
    counts = {"with an empty problem or answer": 4, "with NaN or infinity instead of an answer": 2}
    several = {} if ending == "parquet" else {"with a list of several answers": 1}
    assert plainly(test.removed("test")) == counts | several
    assert any(reason.endswith(f" (for example data file {path} row 1)") for reason in test.removed("test")) == (
        ending != "jsonl"
    )
    train = Local(path=path)
    assert [p.answer for p in train.split("train")] == ["0.00001"]
    assert plainly(train.removed("train")) == counts | several


def test_a_file_in_which_no_row_has_an_answer_is_refused_with_the_counts(tmp_path: Path):
    message = refusal(write(tmp_path, '{"problem": "x?", "answer": null}', '{"problem": "y?", "answer": NaN}'))
    assert "left nothing to train on (1 with an empty problem or answer (for example data file " in message
    assert "1 with NaN or infinity instead of an answer (for example data file " in message


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("0.00001", "0.00001"), ("1e22", "1" + "0" * 22), ("1.5e3", "1500"), ('"#### 5"', "5"), ('"Answer: 5"', "5"),
        ('["5"]', "5"), (r'"So it is.\n$$\\boxed{\\frac{1}{2}}$$"', r"\frac{1}{2}"), ("1.0", "1.0"), ("1", "1"),
    ],
)  # fmt: skip
def test_an_answer_is_read_as_its_field_means_it(tmp_path: Path, written: str, answer: str):
    (found,) = Local(path=write(tmp_path, f'{{"problem": "x?", "answer": {written}}}')).split("train")
    assert found.answer == answer


def test_a_problem_may_be_a_message_of_the_user(tmp_path: Path):
    line = json.dumps({"prompt": [{"role": "user", "content": "x?"}], "answer": "2"})
    (found,) = Local(path=write(tmp_path, line), columns={"problem": "prompt", "answer": "answer"}).split("train")
    assert found.text == "x?"

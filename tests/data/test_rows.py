import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rsgrpo.data.rows import Row, in_digits, read_rows, text_of, value_at
from rsgrpo.errors import UserError
from tests.data.tables import DAPO, dapo_row, deepmath_row, spoil_columns

BIG = 12345678901234567


def read(path: Path, *columns: str, first: int | None = None) -> list[Row]:
    return read_rows(path, "path", columns=columns or ("problem", "answer"), first=first)


def test_a_csv_cell_stays_the_text_it_is(tmp_path: Path):
    path = tmp_path / "own.csv"
    path.write_text('problem,answer\nx,NA\nx,None\nx,007\nx,\n"a, ""b""\nc",1e3\n', encoding="utf-8")
    assert [row.values["answer"] for row in read(path)] == ["NA", "None", "007", "", "1e3"]
    assert read(path)[-1].values["problem"] == 'a, "b"\nc'
    assert [row.origin for row in read(path)] == [f"data file {path} row {n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("problem,answer\nx,1\nx\n", r"row 2 has 1 cells for 2 columns; quote"),
        ("problem,answer\nx,1,2\n", r"row 1 has 3 cells for 2 columns; quote"),
        ("answer,answer\n1,2\n", r"names a column twice"),
        ('problem,answer\nx,"1"2\n', r"line 2 is not CSV \(.*\); fix it"),
        ("problem,answer\n", r"^path=.* holds no problem; give it one problem a line"),
        ("", r"^path=.* holds no problem; give it one problem a line"),
    ],
)
def test_a_broken_csv_file_is_refused_with_the_row(tmp_path: Path, text: str, says: str):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        read(path)


def test_parquet_integers_keep_every_digit_and_nulls_are_none(tmp_path: Path):
    path = tmp_path / "own.parquet"
    schema = pa.schema({"problem": pa.string(), "answer": pa.int64()})
    pq.write_table(pa.Table.from_pylist([{"problem": "x", "answer": BIG}, {"problem": "y"}], schema), path)
    first, second = read(path)
    assert text_of(first.values["answer"], first, "answer") == str(BIG)  # a float has 16 digits
    assert second.values["answer"] is None
    assert second.origin == f"data file {path} row 2"


def test_of_a_parquet_file_only_the_named_columns_are_read(tmp_path: Path):
    path = tmp_path / "deepmath.parquet"
    pq.write_table(pa.Table.from_pylist([deepmath_row(i) for i in range(5)]), path)
    spoil_columns(path, {"r1_solution_1", "r1_solution_2", "r1_solution_3"})
    rows = read(path, "question", "final_answer")
    assert [row.values for row in rows] == [
        {"question": f"What is {i} + 1?", "final_answer": f"{i + 1}"} for i in range(5)
    ]
    assert "r1_solution_1" in rows[0].columns
    with pytest.raises(UserError):  # the proof: they cannot be read
        read(path, "r1_solution_1")


def test_a_dotted_name_goes_into_lists_and_structs(tmp_path: Path):
    path = tmp_path / "dapo.parquet"
    pq.write_table(pa.Table.from_pylist([dapo_row(1, wrapped=False)], DAPO), path)
    (row,) = read(path, "prompt.0.content", "reward_model.ground_truth")
    assert set(row.values) == {"prompt", "reward_model"}
    assert value_at(row, "prompt.0.content", "key") == "What is 1 + 1?"
    assert value_at(row, "reward_model.ground_truth", "key") == "2"
    for wrong in ("prompt.1.content", "prompt.x", "prompt.0.text", "reward_model.gold", "answer"):
        with pytest.raises(
            UserError, match=r"row 1 has no field .*'data_source', 'prompt'.*; name .* with columns\.x="
        ):
            value_at(row, wrong, "columns.x")


def test_a_column_whose_own_name_has_a_dot_is_found(tmp_path: Path):
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"a.b": ["x"]}), path)
    (row,) = read(path, "a.b")
    assert value_at(row, "a.b", "key") == "x"


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_the_first_rows_are_read_alone(tmp_path: Path, ending: str):
    path = tmp_path / f"own.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"problem": ["a", "b", "c"]}), path)
    else:
        lines = ['{"problem": "a"}', '{"problem": "b"}', "{oops"] if ending == "jsonl" else ["problem", "a", "b", "c,d"]
        path.write_text("\n".join(lines))  # the third row is broken and never looked at
    assert [row.values["problem"] for row in read(path, first=2)] == ["a", "b"]


@pytest.mark.parametrize("name", ["own.txt", "own", "own.jsonl.gz", "folder.parquet"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str):
    path = tmp_path / name
    path.mkdir() if name.startswith("folder") else path.write_text("{}")
    with pytest.raises(UserError, match=r"^path=.* has no known format; name a \.jsonl, \.json, \.parquet or \.csv"):
        read(path)


def test_a_file_that_only_says_it_is_parquet_is_refused(tmp_path: Path):
    path = tmp_path / "own.parquet"
    path.write_text('{"problem": "x"}')
    with pytest.raises(UserError, match=r"own\.parquet is not a Parquet file: .*; name a \.jsonl"):
        read(path)


@pytest.mark.parametrize("value", [True, ["2"], {"a": 1}, b"2", date(2024, 1, 31)])
def test_what_is_neither_text_nor_number_is_refused(value: object):
    row = Row({"answer": value}, 3, "own row 3", ["answer"])
    with pytest.raises(UserError, match=r"own row 3: field 'answer' is .*; it must be text or a number"):
        text_of(value, row, "answer")


WRITTEN = {
    "0.00001": "0.00001", "1e-05": "0.00001", "1E5": "100000", "1.5e3": "1500", "1e22": "1" + "0" * 22,
    "6.02e23": "602" + "0" * 21, "-2.5e-3": "-0.0025", "1.0": "1.0", "0.50": "0.50", "-0.0": "-0.0", "0.1": "0.1",
    "3.141592653589793238462643383279": "3.141592653589793238462643383279", "1e400": r"1 \times 10^{400}",
    "-6.626e-134": r"-6.626 \times 10^{-134}", "12345678901234567890123": "12345678901234567890123", "7": "7",
}  # fmt: skip
"""A number in a JSON file and its text."""


@pytest.mark.parametrize("number", WRITTEN)
def test_a_number_in_a_json_file_keeps_the_digits_it_was_written_with(tmp_path: Path, number: str):
    path = tmp_path / "own.jsonl"
    path.write_text(f'{{"problem": "x", "answer": {number}}}\n')
    (row,) = read(path)
    text = text_of(row.values["answer"], row, "answer")
    assert text == WRITTEN[number]
    if "times" not in text:
        assert Fraction(text) == Fraction(number), "the same number, exactly"
    assert row.values["answer"] == json.loads(number)  # a reward may calculate with it


@pytest.mark.parametrize(
    ("kind", "values", "texts"),
    [
        (pa.float64(), [1e-05, 1e22, 0.1, 5.0, -0.0], ["0.00001", "1" + "0" * 22, "0.1", "5.0", "-0.0"]),
        (pa.float32(), [1e-05, 0.1, 2.5, 16777216.0], ["0.00001", "0.1", "2.5", "16777216.0"]),
        (pa.float16(), [np.float16(0.1), np.float16(0.5)], ["0.1", "0.5"]),
        (pa.decimal128(20, 5), [Decimal("0.00001"), Decimal("12.5")], ["0.00001", "12.50000"]),
        (pa.int8(), [-5, 7], ["-5", "7"]),
        (pa.dictionary(pa.int32(), pa.string()), ["x+1", "7"], ["x+1", "7"]),
        (pa.large_string(), ["x", "007"], ["x", "007"]),
    ],
)
def test_a_number_of_a_parquet_file_has_the_fewest_digits_that_name_it(
    tmp_path: Path, kind: pa.DataType, values: list[object], texts: list[str]
):
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"answer": pa.array(values, kind), "deep": [{"gold": [v]} for v in values]}), path)
    rows = read(path, "answer")
    assert [text_of(row.values["answer"], row, "answer") for row in rows] == texts


def test_short_floats_inside_structs_and_lists_keep_their_digits(tmp_path: Path):
    path = tmp_path / "own.parquet"
    kind = pa.struct({"gold": pa.list_(pa.float32()), "name": pa.string()})
    pq.write_table(pa.table({"answer": pa.array([{"gold": [0.1, None], "name": "a"}, None], kind)}), path)
    first, second = read(path, "answer.gold")
    assert first.values["answer"] == {"gold": [0.1, None], "name": "a"}
    assert second.values["answer"] is None


@pytest.mark.parametrize(
    ("kind", "value", "read_as"),
    [
        (pa.list_(pa.float32(), 1), [0.1], [0.1]),
        (pa.large_list(pa.float32()), [0.1], [0.1]),
        (pa.map_(pa.string(), pa.float32()), [("gold", 0.1)], [("gold", 0.1)]),
        (pa.dictionary(pa.int32(), pa.float32()), 0.1, 0.1),
    ],
)
def test_short_floats_of_every_kind_of_column_keep_their_digits(
    tmp_path: Path, kind: pa.DataType, value: object, read_as: object
):
    path = tmp_path / "own.parquet"
    plain = (
        pa.array([0.1], pa.float32()).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array([value], kind)
    )
    pq.write_table(pa.table({"answer": plain}), path)
    (row,) = read(path, "answer")
    assert row.values["answer"] == read_as


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf"), Decimal("NaN"), np.float64("nan")])
def test_what_is_no_number_has_no_text(value: object):
    assert text_of(value, Row({"answer": value}, 1, "own row 1", ["answer"]), "answer") == ""


def test_a_number_is_never_written_out_for_ever():
    assert in_digits(Decimal("1e999999999")) == r"1 \times 10^{999999999}"

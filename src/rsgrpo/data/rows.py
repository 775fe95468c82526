"""Rows of a table, each with its origin for messages, from a JSON Lines, Parquet or CSV file; text out of a row."""

import csv
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsgrpo.errors import UserError

if TYPE_CHECKING:
    import pyarrow

FORMATS = "a .jsonl, .json, .parquet or .csv file"

MOST_ZEROS = 100
"""A number that would be written with more of them stays a power of ten."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column, where it is, and which columns its table has."""

    values: Mapping[str, Any]
    number: int
    """Its row, or its line in a file of lines, counted from 1."""
    origin: str
    """For messages: `data file problems.jsonl line 12`."""
    columns: Collection[str]
    """All columns of its table, also those that were not read."""


TOO_LONG = "a whole number in it has more than 4,300 digits, which Python does not read"


class Written(float):
    """A number of a JSON file, which remembers its digits: 0.00001, and 0.1 with more of them than a float has."""

    def __new__(cls, text: str) -> "Written":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def read_rows(path: Path, key: str, *, columns: Collection[str], first: int | None = None) -> list[Row]:
    """The rows of a file, or only its `first` rows; `key` is what the file was configured as.

    Of a Parquet file only the named `columns` are read, as far as it has them; a dotted name reads its first part.

    Raises:
        UserError: naming the file, and the line, that is missing, malformed or without a row.
    """
    if not path.exists():
        raise UserError(f"{key}={path}: no such file; name an existing one, {FORMATS}")
    readers = {".jsonl": _json_lines, ".json": _json_lines, ".csv": _csv}
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in {*readers, ".parquet"}:
        raise UserError(f"{key}={path} has no known format; name {FORMATS}")
    try:
        if suffix == ".parquet":
            rows = parquet_rows(path, f"data file {path}", columns=columns, first=first)
        else:
            rows = list(islice(readers[suffix](path), first))
    except UnicodeDecodeError as error:
        raise UserError(f"{key}={path} cannot be read as UTF-8 text: {error}; save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{key}={path} cannot be read: {error}; name {FORMATS}") from None
    if not rows:
        raise UserError(f"{key}={path} holds no problem; give it one problem a line")
    return rows


def parquet_rows(path: Path, origin: str, *, columns: Collection[str], first: int | None = None) -> list[Row]:
    """The `first` rows of a Parquet file, of the named `columns` alone.

    Raises:
        UserError: when it is not a Parquet file.
    """
    import pyarrow
    import pyarrow.parquet

    rows: list[Row] = []
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            kinds, names = file.schema_arrow, file.schema_arrow.names
            wanted = [name for name in names if any(name in (column, top(column)) for column in columns)]
            for batch in file.iter_batches(columns=wanted):
                for read in batch.to_pylist():
                    if len(rows) == first:
                        return rows
                    values = {name: _shortest(value, kinds.field(name).type) for name, value in read.items()}
                    rows.append(Row(values, len(rows) + 1, f"{origin} row {len(rows) + 1}", names))
    except pyarrow.ArrowException as error:
        raise UserError(f"data file {path} is not a Parquet file: {error}; name {FORMATS}") from None
    return rows


def top(column: str) -> str:
    """The column of the table that a dotted name starts from.

    >>> top("reward_model.ground_truth")
    'reward_model'
    """
    return column.split(".", 1)[0]


def _json_lines(path: Path) -> Iterator[Row]:
    # Only \n ends a line: JSON may hold the other line separators of Unicode inside a text.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        where = f"data file {path} line {number}"
        try:
            record = json.loads(line, parse_float=Written)
        except (ValueError, RecursionError) as error:
            why = "it is nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", TOO_LONG)
            raise UserError(f"{where} is not JSON ({why}); write one JSON object a line: JSON Lines") from None
        if isinstance(record, list):
            raise UserError(f"{where} is a JSON array; write one object a line: JSON Lines")
        if not isinstance(record, dict):
            raise UserError(f"{where} is not a JSON object; write {{'problem': ..., 'answer': ...}}")
        yield Row(record, number, where, record.keys())


def _csv(path: Path) -> Iterator[Row]:
    """Every cell is text: `NA` and `007` stay what they are."""
    csv.field_size_limit(2**31 - 1)  # a response can be longer than Python expects of a cell
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, [])
            if len(set(names)) < len(names):
                raise UserError(f"data file {path} names a column twice in its first line; give each its own name")
            for number, cells in enumerate(filter(None, reader), 1):
                where = f"data file {path} row {number}"
                if len(cells) != len(names):
                    raise UserError(f"{where} has {len(cells)} cells for {len(names)} columns; quote cells with commas")
                yield Row(dict(zip(names, cells, strict=True)), number, where, names)
        except csv.Error as error:
            raise UserError(f"data file {path} line {reader.line_num} is not CSV ({error}); fix it") from None


def value_at(row: Row, column: str, key: str) -> Any:
    """What a row has in `column`; a dotted name goes into structs and lists: `prompt.0.content`.

    Raises:
        UserError: when it has no such column; `key` is where the column is configured.
    """
    if column in row.values:
        return row.values[column]
    value: Any = row.values
    for part in column.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            has = ", ".join(map(repr, row.columns)) or "nothing"
            raise UserError(f"{row.origin} has no field {column!r} (it has {has}); name the right one with {key}=...")
    return value


def text_of(value: Any, row: Row, column: str) -> str:
    """A value as text: numbers digit by digit, text as it is; "" for null, NaN and infinity.

    Raises:
        UserError: naming the row when it is neither text nor a number.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        shown = json.dumps(value, default=str)[:40]
        raise UserError(f"{row.origin}: field {column!r} is {shown}; it must be text or a number")
    text = value if isinstance(value, str) else in_digits(value)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UserError(f"{row.origin}: field {column!r} holds half a character (a lone surrogate); fix the text")
    return text


def in_digits(number: int | float | Decimal) -> str:
    r"""A number without an exponent, digit by digit as it was written; "" for NaN and infinity.

    >>> in_digits(1e-05), in_digits(Decimal("1.5e3")), in_digits(6.02e23), in_digits(Decimal("1E+200"))
    ('0.00001', '1500', '602000000000000000000000', '1 \\times 10^{200}')
    """
    if isinstance(number, int):
        return str(number)
    if isinstance(number, float):
        number = Decimal(number.text if isinstance(number, Written) else repr(float(number)))
    if not number.is_finite():
        return ""
    if abs(number.adjusted()) > MOST_ZEROS:
        sign, (first, *rest), _ = number.as_tuple()
        mantissa = f"{'-' * sign}{first}{'.' if rest else ''}{''.join(map(str, rest))}"
        return f"{mantissa} \\times 10^{{{number.adjusted()}}}"
    return f"{number:f}"


def _shortest(value: Any, kind: "pyarrow.DataType") -> Any:
    """Floats of 32 and 16 bits as the doubles of the same digits: a .1 of 32 bits is not .10000000149011612."""
    from pyarrow import types

    if value is None:
        return None
    if types.is_dictionary(kind):
        return _shortest(value, kind.value_type)
    if types.is_float32(kind) or types.is_float16(kind):
        return float(str(np.float32(value) if types.is_float32(kind) else np.float16(value)))
    if types.is_struct(kind):
        return {field.name: _shortest(value[field.name], field.type) for field in kind}
    if types.is_map(kind):
        return [(key, _shortest(item, kind.item_type)) for key, item in value]
    if isinstance(value, list):  # of any of the kinds of lists
        return [_shortest(item, kind.value_type) for item in value]
    return value

"""Small tables with the columns and types that the datasets have on the hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DAPO_BEFORE = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
DAPO_AFTER = '\n\nRemember to put your answer on its own line after "Answer:".'

DAPO = pa.schema(
    {
        "data_source": pa.string(),
        "prompt": pa.list_(pa.struct({"content": pa.string(), "role": pa.string()})),
        "ability": pa.string(),
        "reward_model": pa.struct({"ground_truth": pa.string(), "style": pa.string()}),
        "extra_info": pa.struct({"index": pa.string()}),
    }
)
DEEPMATH = pa.schema(
    {"question": pa.string(), "final_answer": pa.string(), "difficulty": pa.float64(), "topic": pa.string()}
    | {f"r1_solution_{i}": pa.string() for i in (1, 2, 3)}
)
MATHARENA = pa.schema(
    {"problem_idx": pa.int64(), "problem": pa.string(), "answer": pa.string(), "problem_type": pa.list_(pa.string())}
)
INTEGERS = pa.schema({"problem": pa.string(), "answer": pa.int64()})
GSM8K = pa.schema({"question": pa.string(), "answer": pa.string()})


def dapo_row(number: int, *, wrapped: bool = True, gold: str | None = None) -> dict[str, Any]:
    text = f"What is {number} + 1?"
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": DAPO_BEFORE + text + DAPO_AFTER if wrapped else text, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": gold or str(number + 1), "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"{number:08x}"},
    }


def deepmath_row(number: int, *, heavy: str = "a solution") -> dict[str, Any]:
    row = {"question": f"What is {number} + 1?", "final_answer": str(number + 1), "difficulty": 4.5, "topic": "Algebra"}
    return row | {f"r1_solution_{i}": heavy for i in (1, 2, 3)}


def as_on_the_hub(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema, split: str = "train") -> str:
    """A folder laid out like a dataset of the hub, with one Parquet file; returns its path."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), data / f"{split}-00000-of-00001.parquet", row_group_size=100)
    return str(folder)


def spoil_columns(file: Path, names: set[str]) -> None:
    """Overwrite the pages of some columns of a Parquet file: whoever reads them fails."""
    metadata = pq.ParquetFile(file).metadata
    content = bytearray(file.read_bytes())
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if column.path_in_schema.split(".")[0] in names:
                start = column.dictionary_page_offset or column.data_page_offset
                size = column.total_compressed_size
                content[start : start + size] = b"\xff" * size
    file.write_bytes(content)


def plainly(removed: Mapping[str, int]) -> dict[str, int]:
    """How many were left out for which reason, without the examples."""
    return {reason.split(" (for example ")[0]: count for reason, count in removed.items()}

"""A data file is read and never run."""

import json
import pickle
from pathlib import Path

import pytest

from rsgrpo.data.hub import HubTable
from rsgrpo.data.local import Local
from rsgrpo.errors import UserError
from tests.security.traps import Trap, python


def test_code_in_a_data_file_stays_text(tmp_path: Path) -> None:
    codes = python(tmp_path / "victim")
    rows = [{"problem": f"What is {i} + {i}? {code}", "answer": str(2 * i)} for i, code in enumerate(codes)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    problems = Local(path=str(tmp_path / "own.jsonl")).split("train")
    assert [code for code, problem in zip(codes, problems, strict=True) if code not in problem.text] == []
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_pickle_under_the_name_of_a_data_file_is_not_loaded(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"own.{ending}"
    file.write_bytes(pickle.dumps(Trap(str(tmp_path / "victim"))))
    with pytest.raises(UserError):
        Local(path=str(file)).split("train")
    assert not (tmp_path / "victim").exists()


def test_the_loading_script_of_a_dataset_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(f"open({str(tmp_path / 'victim')!r}, 'w')\n", encoding="utf-8")
    table = HubTable(
        hub=str(folder), config=None, split="train", revision="main", columns=("problem", "answer"), rows=None
    )
    with pytest.raises(UserError):
        table.read(tmp_path / "cache", "data")
    assert not (tmp_path / "victim").exists()

"""`python run.py task=score` as a user runs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from rsgrpo import run_folder
from tests.tasks.test_audit import run_py

RESPONSES = Path(__file__).parents[1] / "rewards" / "responses.jsonl"

PAIRS: list[dict[str, Any]] = [
    {"id": "a", "answer": "2", "response": r"It is \boxed{2}.", "expected": 1},
    {"id": "b", "answer": r"\frac{1}{2}", "response": r"\boxed{0.5}", "expected": 1},
    {"id": "c", "answer": 70, "response": r"\boxed{7}", "expected": 0},
    {"id": "d", "answer": "5", "response": "five", "expected": 1},
    {"id": "e", "answer": "5", "response": "\ud800 \x00 \\boxed{\x00}", "expected": 0},
]


def scored(folder: Path, *words: str) -> tuple[list[dict[str, Any]], str]:
    """(records, what was printed) of a run that works."""
    done = run_py(folder, "task=score", "reward.workers=1", f"hydra.run.dir={folder}/run", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return run_folder.read(folder / "run" / run_folder.SCORES), done.stdout


def lines(folder: Path, rows: list[dict[str, Any]]) -> Path:
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_pairs_are_scored_counted_and_compared_with_what_was_expected(tmp_path: Path):
    records, printed = scored(tmp_path, f"data.path={lines(tmp_path, PAIRS)}")
    assert [(r["id"], r["value"], r["correct"]) for r in records] == [
        ("a", 1, True), ("b", 1, True), ("c", 0, False), ("d", 0, False), ("e", 0, False)
    ]  # fmt: skip
    assert [list(r["parts"]) for r in records] == [[], [], ["wrong"], ["no_box"], ["unparsed"]]
    assert "5 responses" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["correct", "2", "40.0%"] in rows
    assert ["no_box", "1", "20.0%"] in rows
    assert "4 of 5 are as expected; these differ: d" in printed


@pytest.mark.parametrize("where", [(), ("reward.isolated=true",)], ids=["here", "isolated"])
def test_columns_of_other_names_and_a_reward_of_ones_own(tmp_path: Path, where: tuple[str, ...]):
    rows = [{"gold": "2", "output": "11"}, {"gold": "2", "output": "1"}]
    words = ("task.columns.answer=gold", "task.columns.response=output")
    own = ("reward=custom", "reward._target_=tests.command_line.own_rewards.even", *where)
    done = run_py(
        tmp_path, "task=score", f"data.path={lines(tmp_path, rows)}", f"hydra.run.dir={tmp_path}/run", *words, *own
    )
    assert done.returncode == 0, done.stdout + done.stderr
    records = run_folder.read(tmp_path / "run" / run_folder.SCORES)
    assert [(r["id"], r["value"], r["parts"]) for r in records] == [(1, 1, {"odd": 0}), (2, 0, {"odd": 1})]
    assert "expected" not in done.stdout


def test_a_csv_file_with_long_responses_and_written_verdicts(tmp_path: Path):
    file = tmp_path / "pairs.csv"
    long = "so " * 100_000
    verdicts = ("1", "1.0", "true", "True", "", "0", "false")
    rows = [f'2,"{long}\\boxed{{2}}",{verdict}' for verdict in verdicts]
    file.write_text("answer,response,expected\n" + "\n".join(rows) + "\n", encoding="utf-8")
    records, printed = scored(tmp_path, f"data.path={file}")
    assert [record.get("expected") for record in records] == [1, 1, 1, 1, None, 0, 0]
    assert "4 of 6 are as expected; these differ: 6, 7" in printed


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"answer": "2", "response": None}, "field 'response' is null; it must be text or a number"),
        ({"answer": "2", "response": ["2"]}, "field 'response' is [\"2\"]; it must be text or a number"),
        ({"answer": None, "response": "2"}, "field 'answer' has no answer; fill it in or remove the row"),
        (
            {"answer": ["1", "2"], "response": "2"},
            "field 'answer' has no answer (with a list of several answers); fill it in",
        ),
        ({"answer": "2", "response": "2", "expected": "yes"}, "field 'expected' is 'yes'; write 1 or 0, true or false"),
    ],
)
def test_a_cell_that_is_no_text_or_no_verdict_is_refused(tmp_path: Path, row: dict[str, Any], says: str):
    done = run_py(tmp_path, "task=score", f"data.path={lines(tmp_path, [row])}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "error: data.path is not set; name a file of answers and responses: data.path=FILE"),
        (("data.path=none.jsonl",), "error: data.path=none.jsonl: no such file"),
        (("data.path={pairs}", "task.columns.response=text"), "has no field 'text' (it has 'id', 'answer', 'response'"),
    ],
)
def test_mistakes_name_their_key(tmp_path: Path, words: tuple[str, ...], says: str):
    pairs = lines(tmp_path, PAIRS)
    done = run_py(tmp_path, "task=score", *(word.format(pairs=pairs) for word in words))
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert says in line
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_the_labelled_responses(tmp_path: Path):
    _, printed = scored(tmp_path, f"data.path={RESPONSES}")
    assert "66 of 66 are as expected" in printed

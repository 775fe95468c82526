"""The run folder: what is appended is read back, and a rewound run holds nothing from its future."""

import json

import pytest

from rsgrpo import run_folder
from rsgrpo.run_folder import append, read, rewind


def records(*iterations: int) -> list[dict]:
    return [{"iteration": i, "loss": i / 4} for i in iterations]


def test_what_is_appended_is_read_back_in_order(tmp_path):
    file = tmp_path / "eval" / "validation.jsonl"
    append(file, records(1, 2))
    append(file, [])
    append(file, records(3))
    assert read(file) == records(1, 2, 3)
    assert len(file.read_bytes().splitlines()) == 3


def test_a_missing_file_holds_no_records(tmp_path):
    assert read(tmp_path / "metrics.jsonl") == []


# A newline of its own, a carriage return, and what Unicode also takes for the end of a line.
@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "Ünï ≤ 中", "a\u2028b", "a\u0085b", 'quote " and \\boxed{1}'])
def test_any_text_survives_as_one_record(tmp_path, text):
    append(tmp_path / "rollouts.jsonl", [{"iteration": 1, "text": text}, {"iteration": 2, "text": text}])
    assert [record["text"] for record in read(tmp_path / "rollouts.jsonl")] == [text, text]
    rewind(tmp_path, 1)
    assert read(tmp_path / "rollouts.jsonl") == [{"iteration": 1, "text": text}]


@pytest.mark.parametrize("name", run_folder.RECORDS)
def test_rewinding_drops_later_records_and_keeps_earlier_ones(tmp_path, name):
    append(tmp_path / name, records(0, 1, 2, 2, 3, 4))
    rewind(tmp_path, 2)
    assert read(tmp_path / name) == records(0, 1, 2, 2)
    # Nothing but the file itself is left behind.
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_rewinding_drops_a_record_that_was_cut_short(tmp_path):
    file = tmp_path / run_folder.METRICS
    whole = json.dumps({"iteration": 2, "loss": 0.25})
    for cut in range(1, len(whole)):
        append(file, records(1))
        with file.open("a") as out:
            out.write(whole[:cut])
        rewind(tmp_path, 2)
        assert read(file) == records(1)
        append(file, records(2))
        assert read(file) == records(1, 2)
        file.unlink()


def test_rewinding_copes_with_a_record_whose_newline_was_cut_off(tmp_path):
    file = tmp_path / run_folder.METRICS
    append(file, records(1))
    with file.open("a") as out:
        out.write(json.dumps(records(2)[0]))
    rewind(tmp_path, 2)
    append(file, records(3))
    assert [record["iteration"] for record in read(file)] in ([1, 3], [1, 2, 3])


def test_rewinding_to_the_start_keeps_the_base_evaluation_alone(tmp_path):
    append(tmp_path / run_folder.TEST, records(0, 5))
    append(tmp_path / run_folder.METRICS, records(1, 2))
    rewind(tmp_path, 0)
    assert read(tmp_path / run_folder.TEST) == records(0)
    assert read(tmp_path / run_folder.METRICS) == []


def test_rewinding_takes_the_mark_of_a_finished_run_away(tmp_path):
    (tmp_path / run_folder.DONE).write_text("{}")
    (tmp_path / run_folder.RUN).write_text('{"format": 1}')
    rewind(tmp_path, 3)
    assert not (tmp_path / run_folder.DONE).exists()
    assert (tmp_path / run_folder.RUN).read_text() == '{"format": 1}'


def test_rewinding_an_empty_folder_changes_nothing(tmp_path):
    rewind(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_rewinding_twice_is_rewinding_once(tmp_path):
    append(tmp_path / run_folder.METRICS, records(1, 2, 3))
    rewind(tmp_path, 2)
    once = (tmp_path / run_folder.METRICS).read_bytes()
    rewind(tmp_path, 2)
    assert (tmp_path / run_folder.METRICS).read_bytes() == once

"""What a bench keeps of its runs."""

from pathlib import Path
from typing import Any

import pytest

from rsgrpo import run_folder
from rsgrpo.bench.records import Records, hash_of_settings, same_experiment, still_true
from rsgrpo.errors import UserError
from tests.bench.records import record

SETTINGS = {"objective.beta": 4, "iterations": 60}


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    records = [record(), record("mine", task="path_star"), record("mine", seed=1)]
    place = Records(tmp_path / "records")
    for one in records:
        place.add(one, SETTINGS)

    assert place.all() == [records[0], records[2], records[1]]  # a file for each task, in the order of their names
    assert place.settings() == {"s": SETTINGS}
    assert sorted(file.name for file in place.folder.iterdir() if file.suffix != "") == [
        "countdown.jsonl",
        "path_star.jsonl",
        "settings.json",
    ]


def test_a_folder_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert Records(tmp_path / "none").all() == []
    assert Records(tmp_path / "none").settings() == {}


@pytest.mark.parametrize(
    ("now", "same"),
    [
        ({"objective.beta": 4, "iterations": 60}, True),
        ({"objective.beta": 4, "iterations": 60, "came.later": 1}, True),
        ({"objective.beta": 2, "iterations": 60}, False),
        ({"iterations": 60}, False),
    ],
)
def test_a_record_counts_as_long_as_every_key_has_the_value_that_it_had(
    tmp_path: Path, now: dict[str, float], same: bool
) -> None:
    place = Records(tmp_path)
    place.add(record("mine"), SETTINGS)

    assert same_experiment(now, SETTINGS) is same
    assert (len(still_true(place, {("countdown", "mine", False): now}, "grpo")) == 1) is same


def test_other_arms_are_kept_on_the_same_tasks_unless_the_baseline_was_run_otherwise(tmp_path: Path) -> None:
    place, kinds = Records(tmp_path), {("countdown", "grpo", False): SETTINGS, ("tree", "grpo", False): SETTINGS}
    place.add(record("grpo"), SETTINGS)
    place.add(record("other", settings="t"), SETTINGS | {"objective.beta": 8})
    place.add(record("other", task="path_star"), SETTINGS)
    place.add(record("alone", task="tree"), SETTINGS)

    def kept(now: dict[tuple[str, str, bool], dict[str, Any]]) -> list[tuple[str, str]]:
        return [(one.task, one.arm) for one in still_true(place, now, "grpo")]

    assert kept(kinds) == [("countdown", "grpo"), ("countdown", "other"), ("tree", "alone")]
    shorter = dict.fromkeys(kinds, SETTINGS | {"iterations": 3})
    assert kept(shorter) == [("tree", "alone")]


def test_the_key_of_settings_does_not_depend_on_their_order() -> None:
    assert (
        hash_of_settings({"a": 1, "b": 2}) == hash_of_settings({"b": 2, "a": 1}) != hash_of_settings({"a": 2, "b": 1})
    )


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    run_folder.append(tmp_path / "countdown.jsonl", [{"iteration": 1, "arm": "grpo"}])

    with pytest.raises(UserError, match="does not hold records of a bench"):
        Records(tmp_path).all()


def test_a_last_line_that_was_cut_off_is_not_read(tmp_path: Path) -> None:
    place = Records(tmp_path)
    place.add(record(), SETTINGS)
    place.add(record(seed=1), SETTINGS)
    file = tmp_path / "countdown.jsonl"
    file.write_bytes(file.read_bytes()[:-20])

    assert place.all() == [record()]

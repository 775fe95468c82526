import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rsgrpo.data.dataset import UNWRAPPED, Dataset
from rsgrpo.data.maths import Maths
from rsgrpo.errors import FieldError, UserError
from tests.data.tables import DAPO_AFTER, DAPO_BEFORE, plainly

BENCHMARKS = {"math500": 500, "aime24": 30, "aime25": 30, "hmmt_feb_2024": 30, "hmmt_feb_2025": 30, "cmimc_2025": 40}


def write(path: Path, *pairs: tuple[str, str]) -> str:
    path.write_text("".join(json.dumps({"problem": text, "answer": answer}) + "\n" for text, answer in pairs))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """Ten train problems, one of them empty, one repeated, two at odds, one in the tests; two tests."""
    train = [(f"What is {i} + 1?", str(i + 1)) for i in range(5)]
    train += [("No gold?", ""), ("what is 0+1", "1"), ("At odds?", "1"), ("At odds", "2"), ("$Tested$.", "5")]
    tests = {
        "first": Dataset(name="one", path=write(tmp_path / "first.jsonl", ("Tested", "5"), ("Mute", ""))),
        "second": Dataset(name="two", path=write(tmp_path / "second.jsonl", ("Two", "2"), ("Two", "2"))),
    }
    return {"name": "own", "path": write(tmp_path / "train.jsonl", *train), "tests": tests, "validation": 2}


def own(files: dict[str, Any], changed: dict[str, Any]) -> Maths:
    settings = files | changed
    return Maths(**settings)


def test_the_train_set_is_cleaned_counted_and_split(files: dict[str, Any]):
    source = Maths(**files, suffix="\nBox it.")
    train, validation = source.split("train"), source.split("validation")
    assert sorted(p.text for p in [*train, *validation]) == [f"What is {i} + 1?\nBox it." for i in range(5)]
    assert (len(train), len(validation)) == (3, 2)
    assert plainly(source.removed("train")) == {
        "with an empty problem or answer": 1,
        "with differing answers": 2,
        "repeated": 1,
        "also in a test set": 1,
        "kept for validation": 2,
    }
    assert len(train) + sum(source.removed("train").values()) == 10
    assert source.removed("validation") == {}


def test_test_sets_stay_as_they_are_but_for_answers_that_are_missing(files: dict[str, Any]):
    source = Maths(**files, suffix="\nBox it.")
    assert [(p.id, p.text, p.facts["dataset"]) for p in source.split("test")] == [
        ("one/1", "Tested\nBox it.", "one"),
        ("two/1", "Two\nBox it.", "two"),
        ("two/2", "Two\nBox it.", "two"),
    ]
    assert plainly(source.removed("test")) == {"with an empty problem or answer": 1}


def test_decontamination_can_be_switched_off(files: dict[str, Any]):
    source = Maths(**files, decontaminate=False)
    assert "also in a test set" not in source.removed("train")
    assert "$Tested$." in {p.text for name in ("train", "validation") for p in source.split(name)}


def test_without_held_out_problems_there_is_no_validation(files: dict[str, Any]):
    source = own(files, {"validation": 0})
    assert (len(source.split("train")), source.split("validation")) == (5, [])


def test_the_test_split_needs_no_train_set(files: dict[str, Any]):
    source = own(files, {"path": "nowhere.jsonl"})
    assert len(source.split("test")) == 3
    with pytest.raises(UserError, match=r"^path=nowhere\.jsonl: no such file"):
        source.split("train")


def test_a_missing_test_file_is_named_by_its_key(files: dict[str, Any]):
    source = own(files, {"tests": {"mine": Dataset(name="mine", path="nowhere.jsonl")}})
    with pytest.raises(UserError, match=r"^tests\.mine\.path=nowhere\.jsonl: no such file"):
        source.split("train")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"validation": -1}, r"validation=-1 must be at least 0; try validation=0"),
        ({"max_prompt_tokens": 0}, r"max_prompt_tokens=0 must be at least 1"),
        ({"name": "one"}, r"name=one is the name of two datasets; give each its own"),
        ({"rows": 0}, r"rows=0 must be at least 1"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(files: dict[str, Any], settings: dict[str, Any], says: str):
    with pytest.raises(FieldError, match=says):
        own(files, settings)


def test_more_validation_than_problems_is_refused(files: dict[str, Any]):
    with pytest.raises(UserError, match=r"^validation=5 leaves nothing to train on of 5 problems; try valid"):
        own(files, {"validation": 5}).split("train")


@cache
def cleaned(shared: Path, name: str) -> Maths:
    """A real train set with its tests, read and cleaned once for all that ask after it."""
    return real(shared, name)


def real(shared: Path, name: str, **more: Any) -> Maths:
    tests = {test: Dataset(name=test, path=str(shared / "data" / f"{test}.jsonl")) for test in BENCHMARKS}
    return own({"name": name, "path": str(shared / "data" / f"{name}.jsonl"), "tests": tests}, more)


MEASURED = [
    ("math12k_train", 12_000, 11_858, {"empty": 2, "differing": 4, "repeated": 8, "validation": 128}),
    ("deepmath_sample", 4_994, 4_857, {"repeated": 9, "validation": 128}),
    ("dapo17k", 17_917, 16_296, {"differing": 54, "repeated": 1_425, "test": 14, "validation": 128}),
]
"""Name, rows, problems left, counts by a word of the reason: what docs/data.md says."""


@pytest.mark.parametrize(("name", "rows", "left", "counts"), MEASURED, ids=[name for name, *_ in MEASURED])
def test_real_train_sets_lose_what_the_docs_say(shared: Path, name: str, rows: int, left: int, counts: dict[str, int]):
    source = cleaned(shared, name)
    assert len(source.split("train")) == left
    assert left + sum(source.removed("train").values()) == rows
    assert [
        (word in reason, count) for (reason, count), word in zip(source.removed("train").items(), counts, strict=True)
    ] == [(True, count) for count in counts.values()]
    assert Counter(p.facts["dataset"] for p in source.split("test")) == BENCHMARKS
    assert source.removed("test") == {}


def test_real_answers_keep_their_zeros_and_all_their_digits(shared: Path):
    answers = [p.answer for p in cleaned(shared, "dapo17k").split("train")]
    assert max(map(len, answers)) > 17
    assert all(answer.lstrip("-").isdigit() for answer in answers)
    aime = [p.answer for p in cleaned(shared, "dapo17k").split("test") if p.facts["dataset"] == "aime24"]
    assert any(answer.startswith("0") for answer in aime)


def test_real_rows_without_the_wrapper_are_left_and_marked(shared: Path):
    source = real(shared, "dapo17k", rows=200, strip_before=DAPO_BEFORE, strip_after=DAPO_AFTER, validation=0)
    assert all(p.facts[UNWRAPPED] for p in source.split("train"))
    bare = real(shared, "dapo17k", rows=200, validation=0)
    assert [p.text for p in source.split("train")] == [p.text for p in bare.split("train")]


def test_gsm8k_loses_nothing_but_its_validation(shared: Path):
    tests = {"gsm8k": Dataset(name="gsm8k_test", path=str(shared / "data" / "gsm8k_test.jsonl"))}
    source = real(shared, "gsm8k_train", tests=tests)
    assert (len(source.split("train")), source.removed("train")) == (7_345, {"kept for validation": 128})
    assert (len(source.split("test")), source.removed("test")) == (1_319, {})


def test_real_solutions_of_gsm8k_end_in_their_answers(shared: Path):
    path = shared / "data" / "gsm8k_train.jsonl"
    columns = {"problem": "problem", "answer": "answer_field"}
    found = Dataset(name="g", path=str(path), columns=columns, answer_after="####").read(key="", cache_dir=shared)
    with path.open(encoding="utf-8") as file:
        assert [p.answer for p in found] == [json.loads(line)["answer"] for line in file]

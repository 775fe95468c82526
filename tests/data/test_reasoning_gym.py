"""Problems of reasoning-gym, of a stand-in for it; `tests/rewards/test_gym_families.py` has the package itself."""

import pickle
import random
import re
from typing import Any

import pytest

from rsgrpo.data.reasoning_gym import ReasoningGym
from rsgrpo.data.source import DataSource, Split
from rsgrpo.errors import FieldError, UserError
from rsgrpo.types import Problem
from tests.gym import stand_in  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("stand_in")

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def source(task: Any = "sums", **fields: Any) -> ReasoningGym:
    sizes: dict[str, Any] = {"train": 60, "validation": 20, "test": 30}
    return ReasoningGym(task=task, **(sizes | fields))


def all_of(data: ReasoningGym) -> list[Problem]:
    return [problem for name in SPLITS for problem in data.split(name)]


def test_it_is_a_data_source() -> None:
    assert isinstance(source(), DataSource)


def test_a_problem_has_what_its_verifier_needs() -> None:
    data = source(settings={"most": 500}, suffix=" Box it.")
    first = data.split("train")[0]
    number = first.facts["entry"]["metadata"]["number"]
    assert first.id == "reasoning_gym/sums/train/0"
    assert first.text == f"How much is {number} + 1? Box it."
    assert first.answer == str(number + 1)
    assert first.facts["entry"]["question"] == f"How much is {number} + 1?"
    assert (first.facts["dataset"], first.facts["settings"]) == ("sums", {"most": 500})
    assert first.facts["difficulty"] == {"most": 500}
    assert pickle.loads(pickle.dumps(first)) == first


def test_no_two_splits_share_a_question_and_what_came_again_is_counted() -> None:
    data = source(settings={"most": 120})
    assert [len(data.split(name)) for name in SPLITS] == [60, 20, 30]
    assert len({problem.text for problem in all_of(data)}) == 110
    assert len({problem.id for problem in all_of(data)}) == 110
    assert data.removed("train")["repeated"] > 20


def test_another_size_of_a_later_split_leaves_the_earlier_ones_alone() -> None:
    one, other = source(), source(train=90, max_prompt_tokens=7)
    assert one.split("test") == other.split("test")
    assert one.split("validation") == other.split("validation")
    assert one.split("train") == other.split("train")[:60]


def test_the_problems_depend_on_its_seed_and_on_nothing_else() -> None:
    random.seed(1)
    before = all_of(source())
    random.seed(2)
    assert all_of(source()) == before
    assert {p.text for p in all_of(source(seed=1))} != {p.text for p in before}


@pytest.mark.parametrize(
    ("most", "task", "split", "says"),
    [
        (70, "sums", "train", "train=60 {}: at most 20 besides the 50 problems of other splits; try train=20, {}"),
        (
            50,
            "sums",
            "train",
            "train=60 {}: at most 0 besides the 50 problems of other splits; make the other splits smaller, {}",
        ),
        (8, "sums", "test", "test=30 {}: at most 8; try test=4, {}"),
        (8, ["sums"], "test", "test=30 {}: at most 8; try test=4, {}"),
    ],
)
def test_a_family_with_too_few_problems_is_refused_with_what_there_is(
    most: int, task: Any, split: Split, says: str
) -> None:
    says = says.format("is more than sums has different problems for", "or choose settings with more problems")
    with pytest.raises(FieldError, match=f"^{re.escape(says)}$"):
        source(task, settings={"most": most} if task == "sums" else {"sums": {"most": most}}).split(split)


def test_an_empty_split() -> None:
    data = source(test=0, validation=0)
    assert data.split("test") == data.split("validation") == []
    assert data.removed("test") == {}


def test_several_families_take_turns() -> None:
    data = source(["sums", "countdown"], settings={"countdown": {"most": 900}}, train=5)
    problems = data.split("train")
    assert [problem.facts["dataset"] for problem in problems] == ["sums", "countdown", "sums", "countdown", "sums"]
    assert [problem.facts["settings"] for problem in problems[:2]] == [{}, {"most": 900}]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"task": "sum"}, "task=sum is none of the 4 task families of reasoning-gym; did you mean task=sums?"),
        (
            {"task": ["sums", "coin_flip"]},
            "task=coin_flip has a verifier that takes the first digits of the answer for right; choose another family",
        ),
        ({"task": ""}, "task= names no family; name one, countdown for example"),
        ({"task": []}, "task=[] names no family; name one, countdown for example"),
        ({"settings": {"mst": 4}}, "settings.mst=4 is no setting of sums, which has most; did you mean most?"),
        ({"settings": {"size": 4}}, "settings.size=4 is no setting of sums, which has most; leave it out"),
        (
            {"settings": {"most": 0}},
            "settings={'most': 0} is refused by sums (most must be positive); correct it",
        ),
        (
            {"task": ["sums"], "settings": {"most": 4}},
            "settings.most=4 is for none of the families of task: sums; put the family before the setting",
        ),
        (
            {"task": ["sums"], "settings": {"sums": {"mst": 4}}},
            "settings.sums.mst=4 is no setting of sums, which has most; did you mean most?",
        ),
        ({"task": ["sums"], "settings": {"sums": 4}}, "settings.sums=4 must be settings; try settings.sums={}"),
        ({"train": 0}, "train=0 must be at least 1; try train=1"),
        ({"seed": -1}, "seed=-1 must be at least 0; try seed=0"),
    ],
)
def test_a_mistake_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError, match=f"^{re.escape(says)}$"):
        source(**fields)


def test_a_family_that_raises_is_named() -> None:
    with pytest.raises(
        UserError, match=r"task=broken: reasoning-gym raised KeyError\('a bug'\) while it made problems"
    ):
        source("broken").split("train")


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsgrpo.verification.families.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"reasoning-gym is not installed: pip install 'rsgrpo\[gym\]'"):
        source()

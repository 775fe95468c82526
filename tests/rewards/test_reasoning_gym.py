"""The reward of reasoning-gym, with a stand-in for the package."""

from collections.abc import Iterator
from typing import Any

import pytest

from rsgrpo.data.reasoning_gym import ReasoningGym
from rsgrpo.errors import FieldError, UserError
from rsgrpo.rewards.base import BackgroundReward, FindsAnswers, Reward, begin
from rsgrpo.rewards.reasoning_gym import ReasoningGymReward, answer_in
from rsgrpo.types import Problem, Score
from tests.gym import stand_in  # noqa: F401  (a fixture)
from tests.rewards.hostile import HOSTILE
from tests.rewards.texts import asked, group, said, score

RIGHT = Score(value=1.0, correct=True)


def zero(why: str) -> Score:
    return Score(value=0.0, correct=False, parts={why: 1.0})


@pytest.fixture(scope="module")
def reward(stand_in: None) -> Iterator[ReasoningGymReward]:  # noqa: F811
    service = ReasoningGymReward(timeout_s=3.0, workers=1)
    yield service
    service.close()


@pytest.fixture(scope="module")
def problem(stand_in: None) -> Problem:  # noqa: F811
    return ReasoningGym(task="sums", train=1, validation=0, test=0).split("train")[0]


def test_it_works_in_the_background_and_finds_answers(reward: ReasoningGymReward) -> None:
    assert isinstance(reward, Reward)
    assert isinstance(reward, BackgroundReward)
    assert isinstance(reward, FindsAnswers)


def test_each_kind_of_failure_is_told(reward: ReasoningGymReward, problem: Problem) -> None:
    gold = problem.answer
    texts = {
        f"So \\boxed{{{gold}}}.": RIGHT,
        f"<answer>{gold}</answer>": RIGHT,
        "\\boxed{-1}": zero("wrong"),
        "\\boxed{half}": zero("wrong"),
        "\\boxed{many}": zero("malformed"),
        "\\boxed{nan}": zero("malformed"),
        "\\boxed{hang}": zero("timeout"),
        "\\boxed{exit}": zero("error"),
        "\\boxed{two}": RIGHT,
        f"\\boxed{{{'1' * 10_001}}}": zero("too_long"),
        gold: zero("no_answer"),
        "": zero("no_answer"),
    }
    assert dict(zip(texts, begin(reward, group(problem, *texts))(), strict=True)) == texts


def test_graded_gives_what_the_family_gives(problem: Problem) -> None:
    service = ReasoningGymReward(graded=True, workers=1)
    try:
        half = Score(value=0.5, correct=False, parts={"wrong": 1.0})
        assert score(service, problem, "\\boxed{half}") == half
        assert score(service, problem, f"\\boxed{{{problem.answer}}}") == RIGHT
    finally:
        service.close()


def test_a_completion_that_was_cut_is_marked(reward: ReasoningGymReward, problem: Problem) -> None:
    assert reward(asked(problem), said("1", finished=False)).parts == {"no_answer": 1.0, "truncated": 1.0}


def test_no_text_makes_it_raise(reward: ReasoningGymReward, problem: Problem) -> None:
    scores = begin(reward, group(problem, *HOSTILE.values()))()
    assert not any(score.correct for score in scores)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1} \boxed{ 2 }", "2"),
        (r"\boxed{\text{Zoey is a knight, and Riley is a knave}}", "Zoey is a knight, and Riley is a knave"),
        (r"\boxed{\text{a}, \text{b}}", r"\text{a}, \text{b}"),
        (r"\boxed{\text{}}", None),
        (r'\boxed{{"a": 1}}', '{"a": 1}'),
        ("\\boxed{0 1\n1 0}", "0 1\n1 0"),
        ("<answer>1</answer><answer> 2 </answer> 3", "2"),
        ("<answer>1", None),
        ("1</answer>", None),
        ("</answer><answer>1", None),
        ("<answer></answer>", None),
        (r"<answer>1</answer> \boxed{2}", "2"),
        (r"<think>\boxed{1}</think> <answer>2</answer>", "1"),
        ("<think><answer>1</answer>", None),
        ("<think>no</think><answer>1</answer>", "1"),
    ],
)
def test_where_an_answer_stands(text: str, answer: str | None) -> None:
    assert answer_in(text) == answer


def test_answers_for_comparison_have_single_spaces(reward: ReasoningGymReward, problem: Problem) -> None:
    assert reward.answer(asked(problem), said("\\boxed{0  1\n1 0}")) == "0 1 1 0"
    assert reward.answer(asked(problem), said("0")) is None
    assert reward.answer(asked(problem), said(f"\\boxed{{{'1' * 10_001}}}")) is None


@pytest.mark.parametrize("name", ["timeout_s", "max_answer_chars", "workers"])
def test_settings_are_checked(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(FieldError, match=f"^{name}=0 must be"):
        ReasoningGymReward(**settings)


def test_without_the_package_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, reward: ReasoningGymReward, problem: Problem
) -> None:
    monkeypatch.setattr("rsgrpo.verification.families.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^the package reasoning-gym is not installed: pip install 'rsgrpo\[gym\]'"):
        begin(reward, group(problem, "\\boxed{1}"))

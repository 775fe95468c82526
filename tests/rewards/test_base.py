import functools
from typing import Any

import pytest

from rsgrpo.errors import UserError
from rsgrpo.rewards.base import FindsAnswers, Reward, answers, begin, has_one_right_answer
from rsgrpo.rewards.countdown import CountdownReward
from rsgrpo.rewards.many_answers import ManyAnswersReward
from rsgrpo.rewards.math_verify import MathVerifyReward
from rsgrpo.rewards.overlong import OverlongPenalty
from rsgrpo.rewards.spurious import RandomReward
from rsgrpo.rewards.weighted import WeightedSum
from rsgrpo.types import Completion, Group, Problem, Prompt, Score
from tests.rewards.texts import group


def test_the_built_in_rewards_are_rewards():
    assert isinstance(CountdownReward(), Reward)
    assert isinstance(MathVerifyReward(), Reward)


PROBLEM = Problem(id="p", text="?", answer="2")


class Sums:
    """A reward with one right answer, which many a text gives."""

    one_right_answer = True

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        right = sum(map(int, completion.text.split("+"))) == int(prompt.problem.answer)
        return Score(value=float(right), correct=right)

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        return completion.text


def test_all_that_the_only_right_answer_is_written_as_is_that_answer():
    asked = group(PROBLEM, "2", "1+1", "3", "1+2")
    told = begin(Sums(), asked)()
    assert answers(Sums(), asked, told) == ("2", "2", "3", "1+2"), "what is wrong stays as it was written"
    assert answers(Sums(), asked) == ("2", "1+1", "3", "1+2"), "nobody has said what is right"


@pytest.mark.parametrize(
    ("wrapped", "one"),
    [
        pytest.param(
            WeightedSum(rewards={"sums": Sums(), "length": OverlongPenalty(max_new_tokens=9)}), True, id="sum"
        ),
        pytest.param(RandomReward(reward=Sums()), True, id="spurious"),
        pytest.param(MathVerifyReward(workers=1), True, id="maths"),
        pytest.param(ManyAnswersReward(), False, id="many answers"),
        pytest.param(CountdownReward(), False, id="countdown"),
    ],
)
def test_a_reward_says_whether_it_knows_only_one_right_answer(wrapped, one):
    assert has_one_right_answer(wrapped) is one
    assert isinstance(wrapped, FindsAnswers)


def test_a_weighted_sum_finds_the_answers_of_its_judge():
    asked = group(PROBLEM, "2", "1+1")
    length = OverlongPenalty(max_new_tokens=9)
    assert answers(WeightedSum(rewards={"length": length, "sums": Sums()}, correct="sums"), asked) == ("2", "1+1")
    with pytest.raises(UserError, match="OverlongPenalty has no method answer"):
        answers(WeightedSum(rewards={"length": length, "sums": Sums()}), asked)


def test_a_reward_without_background_is_asked_when_the_scores_are():
    asked_for = []

    def reward(prompt: Prompt, completion: Completion) -> Score:
        asked_for.append(completion.text)
        return Score(value=float(completion.text == prompt.problem.answer), correct=True)

    pending = begin(reward, group(PROBLEM, "1", "2"))
    assert asked_for == []
    assert [score.value for score in pending()] == [0, 1]
    assert asked_for == ["1", "2"]


def test_a_reward_that_raises_ends_in_one_sentence():
    def broken(prompt: Prompt, completion: Completion) -> Score:
        raise KeyError("numbers")

    with pytest.raises(
        UserError,
        match=r"reward: broken raised KeyError\('numbers'\) on a completion of p \(.*test_base\.py, line 86\); a",
    ):
        begin(broken, group(PROBLEM, "1"))()


class OfAnotherLibrary(BaseException):
    """As func_timeout's and trio's own are: no Exception."""


class WithoutWords(Exception):
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OfAnotherLibrary("late"), r"raised OfAnotherLibrary\('late'\) on"),
        (GeneratorExit(), r"raised GeneratorExit\(\) on"),
        (WithoutWords(), "raised WithoutWords on"),
        (ValueError("x" * 9999), r"raised ValueError\('x{280,300}\.\.\. on"),
    ],
)
def test_whatever_a_reward_raises_ends_in_one_sentence(error: BaseException, says: str):
    def broken(prompt: Prompt, completion: Completion) -> Score:
        raise error

    with pytest.raises(UserError, match=says):
        begin(broken, group(PROBLEM, "1"))()


def test_ctrl_c_is_no_mistake_of_the_reward():
    def interrupted(prompt: Prompt, completion: Completion) -> Score:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin(interrupted, group(PROBLEM, "1"))()


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (1.0, r"reward: my_reward returned float; return rsgrpo\.types\.Score\(value=\.\.\., correct=\.\.\.\)"),
        (None, "reward: my_reward returned NoneType; return"),
        (Score(value=float("nan"), correct=False), "reward: my_reward returned the value nan; return a finite one"),
        (
            Score(value=1, correct=True, parts={"a": float("nan")}),
            "reward: my_reward returned the part a nan; return",
        ),
        (
            Score(value=1, correct=True, parts={"a": float("inf")}),
            "reward: my_reward returned the part a inf; return",
        ),
        (Score(value=-1e39, correct=True), r"returned the value -1e\+39; return one that fits into float32"),
        (Score(value=1, correct=True, parts={"a": 1e300}), "returned the part a .*float32"),
        (Score(value=float("inf"), correct=True), "reward: my_reward returned the value inf; return a finite one"),
    ],
)
def test_what_is_no_finite_score_is_refused(result: Any, says: str):
    def my_reward(prompt: Prompt, completion: Completion) -> Any:
        return result

    for reward in (my_reward, functools.partial(my_reward)):
        with pytest.raises(UserError, match=says):
            begin(reward, group(PROBLEM, "1"))()


class InTheBackground:
    """A reward of a user's own that works in the background."""

    def __init__(self, *scores: Any) -> None:
        self.scores = scores

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        raise AssertionError

    def begin(self, group: Group) -> Any:
        if not self.scores:
            raise ValueError("no begin")
        return lambda: self.scores


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ((), r"reward: InTheBackground raised ValueError\('no begin'\) on a completion of p"),
        ((Score(value=1.0, correct=True), None), "reward: InTheBackground returned NoneType"),
        (
            (Score(value=1.0, correct=True),),
            "reward: InTheBackground scored 1 of 2 completions; give one score",
        ),
    ],
)
def test_rewards_that_work_in_the_background_are_held_to_the_same(scores: tuple[Any, ...], says: str):
    with pytest.raises(UserError, match=says):
        begin(InTheBackground(*scores), group(PROBLEM, "1", "2"))()

"""Rewards that do not depend on whether an answer is right."""

import pytest

from rsgrpo.errors import FieldError
from rsgrpo.rewards.arithmetic import ArithmeticReward
from rsgrpo.rewards.base import answers, begin
from rsgrpo.rewards.spurious import FormatReward, RandomReward
from rsgrpo.types import Group, Problem
from tests.rewards.texts import group

PROBLEM = Problem(id="p", text="1 + 1 =", answer="2")
TEXTS = ["\\boxed{ 2 }", "\\boxed{ 3 }", "2", ""]
TASK = ArithmeticReward()


def test_format_pays_for_any_answer_and_leaves_the_verdicts() -> None:
    scores = begin(FormatReward(reward=TASK), group(PROBLEM, *TEXTS))()

    assert [score.value for score in scores] == [1.0, 1.0, 0.0, 0.0]
    assert [score.correct for score in scores] == [True, False, False, False]
    assert scores[2].parts == {"no_box": 1.0}


def test_a_random_reward_is_drawn_for_each_completion_and_leaves_the_verdicts() -> None:
    reward, asked = RandomReward(reward=TASK, seed=0), group(PROBLEM, *["\\boxed{ 2 }"] * 4000)
    values = [score.value for score in begin(reward, asked)()]

    assert set(values) == {0.0, 1.0}
    assert 0.46 < sum(values) / 4000 < 0.54  # five standard deviations
    assert all(score.correct for score in begin(reward, asked)())
    assert [score.value for score in begin(reward, asked)()] == values
    assert [score.value for score in begin(RandomReward(reward=TASK, seed=1), asked)()] != values


@pytest.mark.parametrize(("share", "value"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_share_of_random_rewards_can_be_set(share: float, value: float) -> None:
    scores = begin(RandomReward(reward=TASK, share=share), group(PROBLEM, *TEXTS))()

    assert {score.value for score in scores} == {value}


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(FieldError, match="share"):
        RandomReward(reward=TASK, share=1.5)


def test_answers_are_found_as_the_task_finds_them() -> None:
    asked: Group = group(PROBLEM, *TEXTS)

    assert answers(FormatReward(reward=TASK), asked) == answers(TASK, asked) == ("2", "3", None, None)

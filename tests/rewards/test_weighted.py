from collections.abc import Mapping

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.errors import FieldError
from rsgrpo.rewards.base import BackgroundReward, Reward
from rsgrpo.rewards.math_verify import MathVerifyReward
from rsgrpo.rewards.overlong import OverlongPenalty
from rsgrpo.rewards.weighted import WeightedSum
from rsgrpo.types import Completion, Problem, Prompt, Score
from tests.rewards.texts import asked, group, said, score

PROBLEM = Problem(id="p", text="?", answer="2")


def exact(prompt: Prompt, completion: Completion) -> Score:
    right = completion.text == prompt.problem.answer
    return Score(value=float(right), correct=right, parts={} if right else {"wrong": 1.0})


def brief(prompt: Prompt, completion: Completion) -> Score:
    return Score(value=1 / (1 + len(completion.text)), correct=True)


@given(st.floats(-3, 3), st.floats(-3, 3), st.sampled_from(["2", "3", "22"]))
def test_the_value_is_the_weighted_sum_and_correct_is_what_the_first_says(a: float, b: float, text: str):
    result = score(
        WeightedSum(rewards={"exact": exact, "brief": brief}, weights={"exact": a, "brief": b}), PROBLEM, text
    )
    shortness = 1 / (1 + len(text))
    assert result.value == pytest.approx(a * (text == "2") + b * shortness)
    assert result.correct == (text == "2")
    parts = {"exact": float(text == "2"), "brief": shortness} | ({} if text == "2" else {"exact/wrong": 1.0})
    assert result.parts == parts


def test_a_weight_is_1_where_none_is_given_and_another_reward_may_say_what_is_correct():
    result = score(WeightedSum(rewards={"exact": exact, "brief": brief}, correct="brief"), PROBLEM, "33")
    assert result.value == pytest.approx(1 / 3)
    assert result.correct


def test_it_passes_groups_on_to_rewards_that_work_in_the_background():
    service = MathVerifyReward(workers=1)
    reward = WeightedSum(
        rewards={"answer": service, "length": OverlongPenalty(max_new_tokens=4, buffer=0.5)},
        weights={"length": 0.5},
    )
    assert isinstance(reward, BackgroundReward)
    scores = reward.begin(group(PROBLEM, r"\boxed{2}", r"\boxed{3}", "2"))()
    assert [s.value for s in scores] == [1, 0, 0]
    assert [s.parts for s in scores] == [
        {"answer": 1.0, "length": 0.0},
        {"answer": 0.0, "length": 0.0, "answer/wrong": 1.0},
        {"answer": 0.0, "length": 0.0, "answer/no_box": 1.0},
    ]
    assert len(service.process_ids) == 1
    reward.close()
    assert service.process_ids == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rewards": {}}, "rewards={} names no reward; add one"),
        (
            {"weights": {"other": 1.0}},
            r"weights={'other': 1.0} has 'other', which is not one of the rewards; choose one of exact",
        ),
        ({"correct": "other"}, "correct=other is not one of the rewards; choose one of exact"),
    ],
)
def test_names_of_no_reward_are_refused(settings: Mapping, says: str):
    with pytest.raises(FieldError, match=says):
        WeightedSum(**{"rewards": {"exact": exact}, **settings})


def test_a_weight_that_is_no_number_is_refused():
    """Without the runtime type checks of the tests, as in a real run."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(FieldError, match=r"weights\.exact=much must be a number; try weights.exact=1"):
            WeightedSum(rewards={"exact": exact}, weights={"exact": "much"})  # pyright: ignore[reportArgumentType]
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def completion_of(tokens: int) -> Completion:
    return Completion(token_ids=(1,) * tokens, logprobs=torch.zeros(tokens), text="", finished=True, policy_version=0)


@pytest.mark.parametrize(
    ("tokens", "value"), [(0, 0), (12, 0), (13, -0.125), (16, -0.5), (20, -1), (25, -1)], ids=lambda value: str(value)
)
def test_the_penalty_of_length(tokens: int, value: float):
    """L = 20, B = 8: nothing up to 12 tokens, then a straight line down to -1."""
    penalty = OverlongPenalty(max_new_tokens=20, buffer=0.4)
    assert isinstance(penalty, Reward)
    result = penalty(asked(PROBLEM), completion_of(tokens))
    assert (result.value, result.correct) == (value, False)


def test_a_buffer_longer_than_a_completion_is_refused():
    with pytest.raises(FieldError, match=r"buffer=1\.5 must be between 1e-06 and 1; try buffer=0\.2"):
        OverlongPenalty(max_new_tokens=20, buffer=1.5)


def test_the_text_alone_says_nothing_of_length():
    assert OverlongPenalty(max_new_tokens=20, buffer=0.4)(asked(PROBLEM), said("long " * 100)).value == 0

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.data.many_answers import splits
from rsgrpo.rewards.base import answers
from rsgrpo.rewards.many_answers import ManyAnswersReward
from rsgrpo.types import Problem, Score
from tests.rewards.texts import group

PROBLEM = Problem(
    id="p",
    text="45 13 87 33 20 => 3 7 :",
    answer="13 87",
    facts={"level": 3, "numbers": (45, 13, 87, 33, 20), "digits": (3, 7), "num_answers": 2},
)
REWARD = ManyAnswersReward()


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{ 13 87 }", r"\boxed{33 87}", r"\boxed{ 87 13 }", "\\boxed{\t87\n33 }", r"\boxed{ 013 87 }",
        r"\fbox{13 87}", r"45 13 ; \boxed{ 13 87 } done", r"\boxed{ 45 13 } no: \boxed{ 13 87 }",
    ],
)  # fmt: skip
def test_every_pair_of_the_wanted_digits_is_right(text: str):
    assert REWARD.judge(PROBLEM, text) == Score(value=1.0, correct=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no_box"),
        ("13 87", "no_box"),
        (r"\boxed{ 13 87", "no_box"),
        (r"\boxed{}", "malformed"),
        (r"\boxed{ 13 }", "malformed"),
        (r"\boxed{ 13 87 33 }", "malformed"),
        (r"\boxed{ 13 + 87 }", "malformed"),
        (r"\boxed{ 13, 87 }", "malformed"),
        (r"\boxed{ 13 -87 }", "malformed"),
        (r"\boxed{ 13 87.0 }", "malformed"),
        (r"\boxed{ 13 ８7 }", "malformed"),  # noqa: RUF001 - a digit that is not of ASCII
        (r"\boxed{ 13 0000000087 }", "malformed"),
        (r"\boxed{ 13 87 } no: \boxed{ none }", "malformed"),
        (r"\boxed{ 13 7 }", "not_listed"),
        (r"\boxed{ 3 7 }", "not_listed"),
        (r"\boxed{ 23 87 }", "not_listed"),
        (r"\boxed{ 13 13 }", "wrong_digits"),
        (r"\boxed{ 13 33 }", "wrong_digits"),
        (r"\boxed{ 87 87 }", "wrong_digits"),
        (r"\boxed{ 45 20 }", "wrong_digits"),
        (r"\boxed{ 13 87 } no: \boxed{ 45 87 }", "wrong_digits"),
    ],
)
def test_each_failure_has_its_name(text: str, why: str):
    assert REWARD.judge(PROBLEM, text) == Score(value=0.0, correct=False, parts={why: 1.0})


def test_as_many_pairs_are_right_as_the_problem_says():
    for problem in splits()["test"]:
        numbers = problem.facts["numbers"]
        right = {
            tuple(sorted(pair))
            for pair in product(numbers, repeat=2)
            if REWARD.judge(problem, f"\\boxed{{ {pair[0]} {pair[1]} }}").correct
        }
        assert len(right) == problem.facts["num_answers"]
        assert REWARD.judge(problem, f"\\boxed{{ {problem.answer} }}").correct


def test_an_answer_is_written_one_way():
    texts = [r"\boxed{ 13 87 }", r"\boxed{ 87 013 }", r"\boxed{ 33 87 }", "13 87", r"\boxed{ 13, 87 }", r"\boxed{ 9 }"]
    assert answers(REWARD, group(PROBLEM, *texts)) == ("13 87", "13 87", "33 87", None, None, "9")


@pytest.mark.parametrize("content", ["9" * 1_000_000, "13 " * 300_000, "13 87 " * 200_000], ids=["9", "13", "pair"])
def test_long_boxes_are_read_as_any_others(content: str):
    assert REWARD.judge(PROBLEM, f"\\boxed{{{content}}}").parts == {"malformed": 1.0}


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_gets_a_score(text: str):
    # All of Unicode, lone surrogates included.
    for given_text in (text, f"\\boxed{{{text}}}", f"\\boxed{{13 87}}{text}", f"\\boxed{{13 {text}}}"):
        score = REWARD.judge(PROBLEM, given_text)
        assert score.value == float(score.correct)
        assert score.correct != bool(score.parts)

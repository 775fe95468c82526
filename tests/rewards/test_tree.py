import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.rewards.base import answers
from rsgrpo.rewards.tree import TreeReward
from rsgrpo.types import Problem, Score
from tests.rewards.texts import group

PROBLEM = Problem(
    id="p",
    text="5 13 ; 13 24 ; 5 18 ; 18 29 => 24 =",
    answer="24 13 5",
    facts={"level": 0, "goal": 24, "edges": ((5, 13), (13, 24), (5, 18), (18, 29))},
)
REWARD = TreeReward()


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{ 24 13 5 }", r"\boxed{24 13 5}", "\\boxed{\t24\n13 5 }", r"\boxed{ 024 13 5 }", r"\fbox{24 13 5}",
        r"24 13 ; \boxed{ 24 13 5 } done", r"\boxed{ 24 18 5 } no: \boxed{ 24 13 5 }",
    ],
)  # fmt: skip
def test_the_path_to_the_root_is_right(text: str):
    assert REWARD.judge(PROBLEM, text) == Score(value=1.0, correct=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no_box"),
        ("24 13 5", "no_box"),
        (r"\boxed{ 24 13 5", "no_box"),
        (r"\boxed{}", "malformed"),
        (r"\boxed{ 24, 13, 5 }", "malformed"),
        (r"\boxed{ 24 13 -5 }", "malformed"),
        (r"\boxed{ 24 13 5.0 }", "malformed"),
        (r"\boxed{ 24 13 ５ }", "malformed"),  # noqa: RUF001 - a digit that is not of ASCII
        (r"\boxed{ 24 13 5 } no: \boxed{ none }", "malformed"),
        (r"\boxed{ 29 18 5 }", "wrong_start"),
        (r"\boxed{ 5 13 24 }", "wrong_start"),
        (r"\boxed{ 13 5 }", "wrong_start"),
        (r"\boxed{ 24 18 5 }", "no_such_edge"),
        (r"\boxed{ 24 5 }", "no_such_edge"),
        (r"\boxed{ 24 13 24 13 5 }", "no_such_edge"),
        (r"\boxed{ 24 13 5 5 }", "no_such_edge"),
        (r"\boxed{ 24 }", "not_at_the_root"),
        (r"\boxed{ 24 13 }", "not_at_the_root"),
        (r"\boxed{ 24 13 5 } no: \boxed{ 24 13 }", "not_at_the_root"),
    ],
)
def test_each_failure_has_its_name(text: str, why: str):
    assert REWARD.judge(PROBLEM, text) == Score(value=0.0, correct=False, parts={why: 1.0})


def test_an_answer_is_written_one_way():
    texts = [r"\boxed{ 24 13 5 }", r"\boxed{ 24 013  5}", r"\boxed{ 24 18 5 }", "24", r"\boxed{ 24, 13 }"]
    assert answers(REWARD, group(PROBLEM, *texts)) == ("24 13 5", "24 13 5", "24 18 5", None, None)


@pytest.mark.parametrize("content", ["9" * 1_000_000, "24 " * 300_000, "24 13 5 " * 100_000], ids=["9", "24", "path"])
def test_long_boxes_are_read_as_any_others(content: str):
    assert set(REWARD.judge(PROBLEM, f"\\boxed{{{content}}}").parts) <= {"malformed", "no_such_edge"}


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_gets_a_score(text: str):
    # All of Unicode, lone surrogates included.
    for given_text in (text, f"\\boxed{{{text}}}", f"\\boxed{{24 13 5}}{text}", f"\\boxed{{24 {text}}}"):
        score = REWARD.judge(PROBLEM, given_text)
        assert score.value == float(score.correct)
        assert score.correct != bool(score.parts)

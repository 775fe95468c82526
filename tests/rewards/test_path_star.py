import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.data.path_star import splits
from rsgrpo.rewards.base import answers
from rsgrpo.rewards.path_star import PathStarReward
from rsgrpo.types import Problem, Score
from tests.rewards.texts import group

PROBLEM = Problem(
    id="p",
    text="12 : 7 5 ; 3 9 => 9 =",
    answer="12 3 9",
    facts={"level": 1, "start": 12, "branches": ((7, 5), (3, 9))},
)
REWARD = PathStarReward()


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{ 12 3 9 }", r"\boxed{12 3 9}", "\\boxed{\t12\n3  9 }", r"\boxed{ 012 03 9 }", r"\fbox{12 3 9}",
        r"7 5 ; \boxed{ 12 3 9 } done", r"\boxed{ 12 7 5 } no: \boxed{ 12 3 9 }",
    ],
)  # fmt: skip
def test_the_path_to_the_goal_is_right(text: str):
    assert REWARD.judge(PROBLEM, text) == Score(value=1.0, correct=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no_box"),
        ("12 3 9", "no_box"),
        (r"\boxed{ 12 3 9", "no_box"),
        (r"\boxed{}", "malformed"),
        (r"\boxed{ 12 => 3 => 9 }", "malformed"),
        (r"\boxed{ 12, 3, 9 }", "malformed"),
        (r"\boxed{ 12 3 -9 }", "malformed"),
        (r"\boxed{ 12 3 9.0 }", "malformed"),
        (r"\boxed{ 12 3 \boxed{9} }", "wrong_start"),
        (r"\boxed{ 12 ３ 9 }", "malformed"),  # noqa: RUF001 - a digit that is not of ASCII
        (r"\boxed{ 12 0000000003 9 }", "malformed"),
        (r"\boxed{ 12 3 9 } no: \boxed{ twelve }", "malformed"),
        (r"\boxed{ 3 9 }", "wrong_start"),
        (r"\boxed{ 9 3 12 }", "wrong_start"),
        (r"\boxed{ 9 }", "wrong_start"),
        (r"\boxed{ 1239 }", "wrong_start"),
        (r"\boxed{ 12 9 }", "no_such_edge"),
        (r"\boxed{ 12 7 9 }", "no_such_edge"),
        (r"\boxed{ 12 12 3 9 }", "no_such_edge"),
        (r"\boxed{ 12 3 9 3 9 }", "no_such_edge"),
        (r"\boxed{ 12 3 9 9 }", "no_such_edge"),
        (r"\boxed{ 12 4 9 }", "no_such_edge"),
        (r"\boxed{ 12 }", "wrong_goal"),
        (r"\boxed{ 12 3 }", "wrong_goal"),
        (r"\boxed{ 12 7 5 }", "wrong_goal"),
        (r"\boxed{ 12 3 9 } no: \boxed{ 12 7 5 }", "wrong_goal"),
    ],
)
def test_each_failure_has_its_name(text: str, why: str):
    assert REWARD.judge(PROBLEM, text) == Score(value=0.0, correct=False, parts={why: 1.0})


def test_of_the_walks_of_a_problem_one_is_right():
    for problem in splits()["test"]:
        start, branches = problem.facts["start"], problem.facts["branches"]
        verdicts = [
            REWARD.judge(problem, f"\\boxed{{ {' '.join(map(str, (start, *branch)))} }}").correct for branch in branches
        ]
        assert verdicts == [rank == problem.facts["level"] for rank in range(len(branches))]


def test_an_answer_is_written_one_way():
    texts = [r"\boxed{ 12 3 9 }", r"\boxed{012  3 9}", r"\boxed{ 1 23 9 }", "12 3 9", r"\boxed{ 12, 3 }", r"\boxed{}"]
    assert answers(REWARD, group(PROBLEM, *texts)) == ("12 3 9", "12 3 9", "1 23 9", None, None, None)


@pytest.mark.parametrize("content", ["9" * 1_000_000, "12 " * 300_000, "12 3 9 " * 100_000], ids=["9", "12", "path"])
def test_long_boxes_are_read_as_any_others(content: str):
    assert not REWARD.judge(PROBLEM, f"\\boxed{{{content}}}").correct


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_gets_a_score(text: str):
    # All of Unicode, lone surrogates included.
    for given_text in (text, f"\\boxed{{{text}}}", f"\\boxed{{12 3 9}}{text}", f"\\boxed{{12 {text} 9}}"):
        score = REWARD.judge(PROBLEM, given_text)
        assert score.value == float(score.correct)
        assert score.correct != bool(score.parts)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.rewards.base import answers
from rsgrpo.rewards.program import ProgramReward
from rsgrpo.types import Problem, Score
from rsgrpo.verification.rewriting import MAX_RULES
from tests.rewards.texts import group

TESTS = (((1,), (2,)), ((2,), (1,)), ((3,), (4,)), ((1, 2, 3, 4), (2, 1, 4, 4)))
PROBLEM = Problem(
    id="p",
    text="1 => 2 ; 2 => 1 ; 3 => 4 :",
    answer="3 = 4 ; 1 = 0 ; 2 = 1 ; 0 = 2",
    facts={"level": 3, "wanted": ((1, 2), (2, 1), (3, 4)), "tests": TESTS},
)
REWARD, GRADED = ProgramReward(), ProgramReward(graded=True)


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{ 3 = 4 ; 1 = 0 ; 2 = 1 ; 0 = 2 }", r"\boxed{3=4;1=0;2=1;0=2}", r"\fbox{3 = 4 ; 1 = 0 ; 2 = 1 ; 0 = 2}",
        "\\boxed{\t3 = 4\n; 2 =7 7; 1 = 2;7 7=1 }", r"\boxed{ 1 = 99 9 ; 2 = 1 ; 99 9 = 02 ; 3 = 4 }",
        r"\boxed{ 1 = 2 } no: \boxed{ 1 = 5 ; 2 = 1 ; 5 = 2 ; 3 = 4 }",
    ],
)  # fmt: skip
def test_every_program_that_passes_all_tests_is_right(text: str):
    for reward in (REWARD, GRADED):
        assert reward.judge(PROBLEM, text) == Score(value=1.0, correct=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no_box"),
        ("1 = 2", "no_box"),
        (r"\boxed{ 1 = 2", "no_box"),
        (r"\boxed{}", "malformed"),
        (r"\boxed{ 1 }", "malformed"),
        (r"\boxed{ = 2 }", "malformed"),
        (r"\boxed{ 1 = 2 ; }", "malformed"),
        (r"\boxed{ 1 = 2, 3 = 4 }", "malformed"),
        (r"\boxed{ a = 2 }", "malformed"),
        (r"\boxed{ -1 = 2 }", "malformed"),
        (r"\boxed{ 1 2 3 = 4 }", "malformed"),
        (r"\boxed{ 1 = 2 2 2 }", "malformed"),
        (r"\boxed{ 1 = 2 = 3 }", "malformed"),
        (r"\boxed{ １ = 2 }", "malformed"),  # noqa: RUF001 - a digit that is not of ASCII
        (rf"\boxed{{ {' ; '.join(['1 = 2'] * (MAX_RULES + 1))} }}", "malformed"),
        (r"\boxed{ 3 = 4 ; 1 = 0 ; 2 = 1 ; 0 = 2 } no: \boxed{ none }", "malformed"),
        (r"\boxed{ 3 = 4 ; 1 = 2 ; 2 = 1 }", "failed_tests"),
        (r"\boxed{ 1 = }", "failed_tests"),
    ],
)
def test_each_failure_has_its_name(text: str, why: str):
    assert REWARD.judge(PROBLEM, text) == Score(value=0.0, correct=False, parts={why: 1.0})


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (r"\boxed{ 7 = 8 }", 0.0),
        (r"\boxed{ 1 = 2 }", 0.25),
        (r"\boxed{ 2 = 1 ; 3 = 4 }", 0.5),
        (r"\boxed{ 1 = 2 ; 3 = 4 }", 0.5),
        ("", 0.0),
    ],
)
def test_a_graded_reward_is_the_share_of_the_tests_that_are_passed(text: str, share: float):
    score = GRADED.judge(PROBLEM, text)
    assert (score.value, score.correct) == (share, False)


def test_an_answer_is_written_one_way():
    texts = [r"\boxed{ 1 = 2 }", r"\boxed{01=2}", r"\boxed{1 2= 2  1;3 =}", "1 = 2", r"\boxed{ 1 , 2 }"]
    assert answers(REWARD, group(PROBLEM, *texts)) == ("1 = 2", "1 = 2", "1 2 = 2 1 ; 3 =", None, None)


@pytest.mark.parametrize("content", ["9" * 1_000_000, "1 = 2 ; " * 300_000, " " * 1_000_000 + "1", "1 " * 300_000])
def test_long_boxes_are_read_as_any_others(content: str):
    assert REWARD.judge(PROBLEM, f"\\boxed{{{content}}}").parts == {"malformed": 1.0}


def test_a_word_stays_short_whatever_the_rules():
    doubling = " ; ".join(["1 = 1 1"] * MAX_RULES)
    assert REWARD.judge(PROBLEM, f"\\boxed{{ {doubling} }}").parts == {"failed_tests": 1.0}


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_gets_a_score(text: str):
    # All of Unicode, lone surrogates included.
    for given_text in (text, f"\\boxed{{{text}}}", f"\\boxed{{1 = 2}}{text}", f"\\boxed{{1 = {text}}}"):
        for reward in (REWARD, GRADED):
            score = reward.judge(PROBLEM, given_text)
            assert 0 <= score.value <= 1
            assert (score.value == 1) == score.correct != bool(score.parts)

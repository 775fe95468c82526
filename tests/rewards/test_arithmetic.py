import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.rewards.arithmetic import ArithmeticReward
from rsgrpo.types import Problem, Score

PROBLEM = Problem(id="p", text="4 7 + 8 5 =", answer="132", facts={"level": 0})
REWARD = ArithmeticReward()


def why(text: str) -> dict[str, float]:
    score = REWARD.judge(PROBLEM, text)
    assert score.value == 0
    assert not score.correct
    return dict(score.parts)


@pytest.mark.parametrize("digits", ["1 3 2", " 1 3 2 ", "132", "1 32", "0132", "0 1 3 2"])
def test_the_answer_may_be_spelled_with_or_without_spaces(digits: str):
    assert REWARD.judge(PROBLEM, f"7 + 5 = 1 2 ; \\boxed{{{digits}}}") == Score(value=1.0, correct=True)


@given(st.integers(0, 10**40), st.integers(0, 10**40), st.randoms())
def test_a_number_is_right_when_it_is_the_answer_however_its_digits_stand(answer: int, given_number: int, rng: object):
    problem = Problem(id="p", text="", answer=str(answer))
    for number in (answer, given_number):
        boxed = "".join(digit + " " * rng.randrange(3) for digit in f"00{number}")  # type: ignore[attr-defined]
        assert REWARD.judge(problem, f"\\boxed{{{boxed}}}").correct == (number == answer)


def test_another_number_is_wrong():
    for digits in ("131", "2 3 1", "1 3", "1320", "0"):
        assert why(f"\\boxed{{{digits}}}") == {"wrong": 1.0}


def test_zero_is_an_answer():
    zero = Problem(id="p", text="", answer="0")
    assert REWARD.judge(zero, r"\boxed{0 0}").correct
    assert REWARD.judge(zero, r"\boxed{}").parts == {"malformed": 1.0}


def test_without_a_box_there_is_no_answer():
    for text in ("", "1 3 2", "= 132", "boxed{132}", r"\boxed{132"):
        assert why(text) == {"no_box": 1.0}


def test_the_last_box_is_the_answer():
    assert REWARD.judge(PROBLEM, r"\boxed{131} no: \boxed{132} done").correct
    assert why(r"\boxed{132} no: \boxed{131} done") == {"wrong": 1.0}
    assert why(r"\boxed{132} no: \boxed{}") == {"malformed": 1.0}


@pytest.mark.parametrize(
    "content",
    [
        "", " ", "-132", "+132", "132.0", "1,32", "1e2", "47 + 85", "132 cm", "x", "1\n32", "1\t32", "132\x00",
        "\ud800", "\u00b9\u00b3\u00b2", "\u0661\u0663\u0662", "\uff11\uff13\uff12", "\U0001d7cf\U0001d7d1\U0001d7d0",
    ],
)  # fmt: skip
def test_anything_but_digits_is_malformed(content: str):
    assert why(f"\\boxed{{{content}}}") == {"malformed": 1.0}


@pytest.mark.parametrize("content", ["9" * 1_000_000, "1 " * 500_000, "0" * 1_000_000], ids=["9", "1 ", "0"])
def test_a_million_digits_are_read_as_any_others(content: str):
    assert why(f"\\boxed{{{content}}}") == {"wrong": 1.0}


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_gets_a_score(text: str):
    # All of Unicode, lone surrogates included.
    for given_text in (text, f"\\boxed{{{text}}}", f"\\boxed{{132}}{text}"):
        score = REWARD.judge(PROBLEM, given_text)
        assert score.value == float(score.correct)
        assert score.correct != bool(score.parts)

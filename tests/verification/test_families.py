"""What stands between a model's text and the verifiers of reasoning-gym, which are code of others."""

import random
from pathlib import Path

import pytest

from rsgrpo.verification.families import PLAIN, graded, is_plain, own_randomness, problems
from tests.gym import stand_in  # noqa: F401  (a fixture)
from tests.security.traps import python

pytestmark = pytest.mark.usefixtures("stand_in")

ENTRY = {"question": "How much is 1 + 1?", "answer": "2", "metadata": {}}


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize(
    "text",
    [
        *python(Path("victim")),
        *("().__class__", "x.diff", "2 .real", "2..real", "sin.func", "__import__", "open", "eval", "exec", "lambdify"),
        *(
            "[c for c in ()]",
            "lambda: 0",
            "f'{1}'",
            "'a'.join",
            "getattr(x,y)",
            "sin_",
            "asinx",
            "exit()",
            "quit",
            "x;y",
        ),
        *("x:=1", "{x}", "x=1", "\\x", "x`y", "S('x')", "sympify", "Symbol", "\u0661"),
    ],
)
def test_an_answer_that_may_be_code_reaches_no_verifier_that_evaluates_it(family: str, text: str) -> None:
    assert not is_plain(family, text)


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("spiral_matrix", "[1, 2, -3]"),
        ("spiral_matrix", "1 2 3"),
        ("binary_matrix", "0 1\n1 2"),
        ("n_queens", "_ Q\nQ _"),
        ("n_queens", "[['_', 'Q'], ['Q', '_']]"),
        ("string_insertion", "ABCDEA"),
        ("complex_arithmetic", "2.0 - 13.0i"),
        ("countdown", "(1 + 2)*3 - 4/2"),
        ("puzzle24", "(8 / (3 - 8/3))"),
        ("simple_integration", "-3*x**2/2 + 0.5*x + C"),
        ("intermediate_integration", "-x*cos(2*x)/2 + sin(2*x)/4 + exp(-x) + asin(x) + 2*sqrt(pi) + log(x + 1) + C"),
        ("polynomial_multiplication", "-14*x**4*y + 2*z"),
    ],
)
def test_an_answer_of_the_right_form_reaches_it(family: str, text: str) -> None:
    assert is_plain(family, text)


@pytest.mark.parametrize("family", ["countdown", "puzzle24"])
@pytest.mark.parametrize("text", ["9**9**9", "9* *9", "9 ** 9"])
def test_puzzles_of_numbers_take_no_powers(family: str, text: str) -> None:
    assert not is_plain(family, text)


@pytest.mark.parametrize("text", ["nan", "NaN + 2i", "inf"])
def test_a_complex_number_is_one(text: str) -> None:
    assert not is_plain("complex_arithmetic", text)


@pytest.mark.parametrize("family", PLAIN)
def test_long_texts_are_looked_at_in_linear_time(family: str) -> None:
    for piece in ("1", "*", "(", " ", "sin", "x", "1.", "'", "* ", "a", "asin("):
        assert not is_plain(family, piece * 10_000 + "!")


def test_code_does_not_run_where_a_verifier_evaluates_answers(tmp_path: Path) -> None:
    for code in python(tmp_path / "victim"):
        assert graded("countdown", {}, ENTRY, code) is None
    assert graded("countdown", {}, ENTRY, "1 + 1") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "score"), [("2", 1.0), ("3", 0.0), ("half", 0.5), ("two", 1.0), ("nan", None), ("", None), ("?", None)]
)
def test_a_score_is_between_0_and_1_and_a_verifier_that_raises_has_none(answer: str, score: float | None) -> None:
    assert graded("sums", {}, ENTRY, answer) == score


def test_a_verifier_has_the_settings_of_its_problems() -> None:
    assert problems("sums", {"most": 7}, seed=3).config.most == 7
    assert len(problems("sums", {}, seed=3, size=9)) == 9


def test_what_a_family_draws_from_pythons_stream_is_not_taken_from_the_run() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with own_randomness(5):
        first = random.random()
    assert random.random() == expected
    with own_randomness(5):
        assert random.random() == first

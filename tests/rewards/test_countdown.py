import ast
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.rewards.countdown import MAX_TOKENS, CountdownReward, evaluate
from rsgrpo.types import Problem, Score

PROBLEM = Problem(id="p", text="6 12 9 => 27 :", answer="27", facts={"numbers": (6, 9, 12), "level": 0})
REWARD = CountdownReward()
GRADED = CountdownReward(graded=True)


def boxed(expression: str) -> Score:
    return REWARD.judge(PROBLEM, f"6 + 12 = 18 ; \\boxed{{ {expression} }}")


def why(text: str) -> dict[str, float]:
    score = REWARD.judge(PROBLEM, text)
    assert score.value == 0
    assert not score.correct
    return dict(score.parts)


def oracle(expression: str) -> tuple[Fraction, list[int]] | None:
    """What Python itself makes of an expression of whole numbers, + - * / and brackets; None for anything else."""
    # Python refuses leading zeros, the puzzle need not.
    text = re.sub(r"(?<!\d)0+(?=\d)", "", expression).strip()
    numbers: list[int] = []

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            numbers.append(node.value)
            return Fraction(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            left, right = value(node.left), value(node.right)
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            return left * right if isinstance(node.op, ast.Mult) else left / right
        raise SyntaxError

    try:
        return value(ast.parse(text, mode="eval").body), numbers
    except (SyntaxError, ZeroDivisionError):
        return None


def evaluated(expression: str) -> tuple[Fraction, list[int]] | None:
    try:
        return evaluate(expression)
    except ValueError:
        return None


def spaced(*parts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(("", " ", "  ")).map(lambda gap: gap.join(parts))


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, st.sampled_from("+-*/"), inner)
    return two.flatmap(lambda p: spaced(*p)) | two.flatmap(lambda p: spaced("(", *p, ")")) | inner.map("({})".format)


trees = st.recursive(st.integers(0, 20).map(str) | st.integers(0, 999_999_999).map(str), combined, max_leaves=10)


def num_tokens(expression: str) -> int:
    return len(re.findall(r"\d+|[-+*/()]", expression))


@given(trees)
def test_expressions_have_the_value_and_the_numbers_that_python_gives_them(expression: str):
    expected = oracle(expression) if num_tokens(expression) <= MAX_TOKENS else None
    assert evaluated(expression) == expected


@given(st.text("0123456789+-*/() ", max_size=24).filter(lambda t: not re.search(r"\d{10}", t)))
def test_character_soup_is_read_as_python_reads_it_or_refused(expression: str):
    assert evaluated(expression) == oracle(expression)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("20-5-3", 12),
        ("24/4/3", 2),
        ("24/(4/2)", 12),
        ("2-(3-4)", 3),
        ("7/2", Fraction(7, 2)),
        ("3-5", -2),
        ("0/5", 0),
        ("((7))", 7),
        ("1/3*3", 1),  # exact, where floats may not be
    ],
)
def test_precedence_and_brackets(expression: str, value: Fraction | int):
    assert evaluate(expression)[0] == value


@pytest.mark.parametrize(
    "expression",
    [
        "1/0", "1/(2-2)", "-3", "+3", "3--2", "3*-2", "2**3", "7//2", "", " ", "()", "(", ")", "(3", "3)", ")3(", "3 4",
        "3(4)", "(3)(4)", "3+", "+", "*3", "3.5", "1e3", "0x10", "1_0", "a", "3=3", "3,4", "3%2", "2^3", "~3", "3!",
        "__import__('os')", "3;4", "3\x00", "12345678901",
    ],
)  # fmt: skip
def test_anything_but_arithmetic_on_whole_numbers_is_refused(expression: str):
    with pytest.raises(ValueError, match=r"."):
        evaluate(expression)


def test_an_expression_may_have_64_tokens_and_not_more():
    longest = "(1)" + "+1" * 30 + "+"
    assert num_tokens(longest) == 64
    with pytest.raises(ValueError, match="expected a number"):
        evaluate(longest)  # read to its end
    assert evaluate("((1))" + "+1" * 29)[0] == 30  # 63 tokens
    assert evaluate("1" + "+1" * 31)[0] == 32  # 63 tokens
    with pytest.raises(ValueError, match="not an arithmetic expression"):
        evaluate("1" + "+1" * 32)  # 65 tokens


@pytest.mark.parametrize(
    "expression", ["6+12+9", "9 + ( 6 + 12 )", "(12*6)-(9*5)+9*0", "12/6*9+9", " ( ( 6 ) + 12 ) + 9 "]
)
def test_the_score_is_1_exactly_for_the_given_numbers_and_the_target(expression: str):
    value, numbers = evaluate(expression)
    right = value == 27 and sorted(numbers) == [6, 9, 12]
    assert boxed(expression) == Score(value=float(right), correct=right, parts={} if right else {"wrong_numbers": 1.0})


@pytest.mark.parametrize("expression", ["27", "6+9+12+0", "6+9+6+6", "9+9+9", "18+9", "6+12+9-9+9", "12*6-45"])
def test_other_numbers_are_wrong_even_where_the_value_is_right(expression: str):
    assert evaluate(expression)[0] == 27
    assert boxed(expression) == Score(value=0.0, correct=False, parts={"wrong_numbers": 1.0})


def test_a_number_given_twice_must_be_used_twice():
    twice = Problem(id="p", text="6 6 9 => 21 :", answer="21", facts={"numbers": (6, 6, 9)})
    assert REWARD.judge(twice, r"\boxed{6+6+9}").correct
    assert REWARD.judge(twice, r"\boxed{6+9}").parts == {"wrong_numbers": 1.0}
    assert REWARD.judge(PROBLEM, r"\boxed{6+6+9}").parts == {"wrong_numbers": 1.0}


@pytest.mark.parametrize("expression", ["6*12+9", "6+12-9", "(6+12)*9", "9/6+12", "6-12-9"])
def test_another_value_is_wrong(expression: str):
    assert boxed(expression) == Score(value=0.0, correct=False, parts={"wrong_value": 1.0})


def test_a_value_that_is_near_the_target_is_wrong():
    near = Problem(id="p", text="", answer="1", facts={"numbers": (999_999_999, 999_999_998)})
    assert REWARD.judge(near, r"\boxed{999999999/999999998}").parts == {"wrong_value": 1.0}


def test_without_a_box_there_is_no_answer():
    for text in ("", "6 + 12 + 9", "( 6 + 12 ) + 9 = 27", "boxed{6+12+9}", r"\boxed{6+12+9"):
        assert why(text) == {"no_box": 1.0}


def test_the_last_box_is_the_answer():
    assert REWARD.judge(PROBLEM, r"\boxed{6*12+9} no: \boxed{6+12+9} done").correct
    assert why(r"\boxed{6+12+9} no: \boxed{6*12+9} done") == {"wrong_value": 1.0}
    assert why(r"\boxed{6+12+9} no: \boxed{}") == {"malformed": 1.0}


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("(" * 5_000 + "6+12+9" + ")" * 5_000, id="5,000 brackets"),
        pytest.param("(" * 5_000, id="5,000 opening brackets"),
        pytest.param("(" * 1_000_000, id="a million opening brackets"),
        pytest.param(")" * 1_000_000, id="a million closing brackets"),
        pytest.param("9" * 1_000_000, id="a million digits"),
        pytest.param("9" * 5_000, id="more digits than Python converts"),
        pytest.param("6+" * 500_000, id="a million-term sum"),
        pytest.param("6" + " " * 1_000_000 + "x", id="a megabyte of spaces"),
        pytest.param("*".join(["999999999"] * 32), id="a product of 288 digits"),
        pytest.param("*".join(["999999999"] * 200_000), id="a product of 1.8 million digits"),
        pytest.param("6\x00+12+9", id="NUL"),
        pytest.param("\x00" * 1_000_000, id="a megabyte of NUL"),
        pytest.param("6\ud800+12+9", id="a lone surrogate"),
        pytest.param("6\u00b2", id="superscript two"),
        pytest.param("6\u2082+12+9", id="subscript two"),
        pytest.param("\u2467+12+9", id="circled eight"),
        pytest.param("\u5341+12+9", id="Chinese ten"),
        pytest.param("6\u00d712\u22129", id="typographic operators"),
        pytest.param("6+12+9\U0001f642", id="emoji"),
        pytest.param("6\u202e+12+9", id="right-to-left override"),
        pytest.param("\\frac{6}{12}", id="LaTeX"),
    ],
)
def test_hostile_expressions_score_0_and_never_raise(expression: str):
    score = boxed(expression)
    assert score.value == 0
    assert not score.correct
    assert set(score.parts) <= {"malformed", "wrong_numbers"}


@pytest.mark.parametrize("digits", ["\u0660", "\u06f0", "\u0966", "\uff10", "\U0001d7ce"])
def test_digits_of_other_scripts_are_no_numbers(digits: str):
    # Arabic-Indic, Persian, Devanagari, full-width and mathematical bold: int() would read all of them.
    translated = "".join(chr(ord(digits) + int(c)) if c.isdigit() else c for c in "6+12+9")
    assert boxed(translated) == Score(value=0.0, correct=False, parts={"malformed": 1.0})


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_gets_a_score(text: str):
    # All of Unicode, lone surrogates included.
    for given_text in (text, f"\\boxed{{{text}}}", f"\\boxed{{6+12+9}}{text}"):
        score = REWARD.judge(PROBLEM, given_text)
        assert score.value == float(score.correct)
        assert score.correct != bool(score.parts)


@given(st.text(st.characters(codec=None), max_size=200) | trees)
def test_a_grade_lies_between_0_and_1_and_says_the_same_is_correct(text: str):
    for given_text in (text, f"\\boxed{{{text}}}", f"\\boxed{{6+12+9}}{text}"):
        plain, graded = REWARD.judge(PROBLEM, given_text), GRADED.judge(PROBLEM, given_text)
        assert (graded.correct, graded.parts) == (plain.correct, plain.parts)
        assert plain.value <= graded.value <= 1
        assert (graded.value == 1) == graded.correct
        assert (graded.value == 0) == bool({"no_box", "malformed"} & graded.parts.keys())


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_nearer_value_of_the_right_numbers_is_worth_more(one: int, other: int):
    near, far = sorted((one, other), key=lambda target: abs(target - 27))
    nearer, farther = (
        GRADED.judge(Problem(id="p", text="", answer=str(target), facts={"numbers": (6, 9, 12)}), r"\boxed{6+9+12}")
        for target in (near, far)
    )
    distances = abs(near - 27), abs(far - 27)
    assert (nearer.value > farther.value) == (distances[0] < distances[1])


def test_grades_by_hand():
    values = {
        "6 + 12 = 18": 0.0,
        r"\boxed{6+}": 0.0,
        r"\boxed{27}": 0.1,  # other numbers, however right the value
        r"\boxed{6*12*9}": 0.2 + 0.3 / 622,  # |648 - 27| = 621
        r"\boxed{12*9/6}": 0.2 + 0.3 / 10,  # 18
        r"\boxed{12/9+6}": 0.2 + 0.3 / (1 + 59 / 3),  # 22/3
        r"\boxed{6+12+9}": 1.0,
    }
    assert {text: GRADED.judge(PROBLEM, text).value for text in values} == pytest.approx(values)


def test_a_value_of_288_digits_is_graded_too():
    huge = Problem(id="p", text="", answer="1", facts={"numbers": (999_999_999,) * 32})
    assert GRADED.judge(huge, "\\boxed{" + "*".join(["999999999"] * 32) + "}").value == pytest.approx(0.2)
    assert GRADED.judge(huge, "\\boxed{" + "/".join(["999999999"] * 32) + "}").value == pytest.approx(0.35)

"""The comparison itself, in this process: labelled pairs, real golds, and any text."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgrpo.verification.boxes import last_boxed
from rsgrpo.verification.equality import compare
from rsgrpo.verification.golds import unreadable_because

LIMIT_S = 20  # a slow machine decides no verdict
RESPONSES = Path(__file__).parents[1] / "rewards" / "responses.jsonl"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("2", "2"),
        ("073", "73"),
        ("70", "70.0"),
        (r"\frac{1}{2}", "0.5"),
        (r"\frac{1}{2}", "1/2"),
        ("0.5", r"\dfrac{2}{4}"),
        (r"8\sqrt{10}", r"\sqrt{640}"),
        (r"\frac{\pi}{4}", r"\frac14\pi"),
        ("(1, 2)", "(1,2)"),
        ("x^2 + 2x", "x(x+2)"),
        ("10^9+7", "1000000007"),
        (r"\{1,2,4\}", r"\{4, 2, 1\}"),
        ("[-2,7]", r"x \in [-2, 7]"),
        ("5", "x = 5"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}.", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"25\%", "25"),
        (r"25\%", "0.25"),
        ("25", r"25\%"),
        (r"\text{(B)}", "B"),
        ("B", r"(\text{b})"),
        ("42_7", r"42_{7}"),
        ("2516_8", "2516"),
        ("24", "24_{10}"),
        (r"\mathbb{Z}_4", r"\mathbb{Z}_{4}"),
        (r"p \equiv 1 \pmod{4}", r"p\equiv 5\pmod 4"),
        (r"\frac{2469}{20,\!000}", r"\frac{2469}{20000}"),
    ],
)
def test_the_same_answer(gold: str, answer: str):
    assert compare(gold, answer, LIMIT_S) == "right"


@pytest.mark.parametrize(
    ("gold", "answer", "alone"),
    [
        ("42_7", "42_8", "math-verify drops the base"),
        ("28", "28_9", "math-verify drops the base"),
        ("2ab", "2", "math-verify takes the letters for a unit"),
        (r"\pi ab", r"\pi", "math-verify takes the letters for a unit"),
        ("4t", "4", "math-verify takes the letter for a unit"),
        ("2x^2 + 3y^2 = d", "3", "math-verify takes the letter for a unit"),
        (r"p \equiv 1 \pmod{4}", "1", "math-verify reads the last number"),
        (r"p \equiv 1 \pmod{4}", r"p \equiv 1 \pmod{8}", "math-verify reads the last number"),
        (r"\gcd(n, p-1)", "1", "math-verify loses the letters"),
        (r"\gcd(k, p - 1)", r"\gcd(n, p-1)", "math-verify loses the letters"),
        ("east", "seat", "math-verify multiplies the letters"),
        ("No", "On", "math-verify multiplies the letters"),
        (r"\frac \pi4 + 2 - \sqrt2", "2", "math-verify misreads the shorthand"),
        (r"\frac{7}{5} + \frac{1}{5} i.", r"\frac{1}{5}", "math-verify stumbles over the full stop"),
        ("A^T", r"\text{(A)}", "math-verify loses the letters"),
        ("7", "x", None),
        ("5", "x=-5", None),
        ("5", r"5 \text{ or } 7", None),
        ("99999999999999999999", "100000000000000000000", None),
        (r"\frac{2}{3}", "0.67", None),
        ("0", r"\frac{0}{0}", None),
        ("x>3", "x<3", None),
        ("[-2,7]", "(-2,7]", None),
        ("(3, 4)", "(4, 3)", None),
        ("42", r"\text{the same as the reference answer}", None),
    ],
)
def test_another_answer(gold: str, answer: str, alone: str | None):
    assert compare(gold, answer, LIMIT_S) in ("wrong", "unparsed")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [(r"\frac{1}{3}", r"0.\overline{3}"), (r"\sqrt{6}", "√6"), ("2ab", "2ba"), (r"\frac \pi4", r"\frac{\pi}{4}")],
)
def test_the_same_answer_that_math_verify_alone_refuses(gold: str, answer: str):
    assert compare(gold, answer, LIMIT_S) == "right"


@pytest.mark.parametrize(
    "gold",
    ["5 (see below)", "12, see appendix", "x = 3 (shown above)", "The proof is trivial.", "The limit exists.", "QED"],
)
def test_a_gold_that_points_elsewhere_or_states_something_is_prose(gold: str):
    assert unreadable_because(gold) == "prose"


@pytest.mark.parametrize("gold", ["two lines", "all real numbers", "x=1 (double root)", r"\text{no}", "5 (mod 7)"])
def test_a_short_answer_in_words_is_no_prose(gold: str):
    assert unreadable_because(gold) is None


@pytest.mark.parametrize("gold", [r"\text{Evelyn}", r"\text{east}", r"\text{even}", r"\frac{1}{2}", r"x \ge 2", "5"])
def test_an_answer_in_round_brackets_is_the_answer(gold: str):
    assert compare(gold, f"({gold})", LIMIT_S) == "right"


@pytest.mark.parametrize("answer", ["", " ", "$$", "\\", "((", r"\frac{}{}", "," * 50, "(" * 100 + "2" + ")" * 100])
def test_what_is_no_answer_is_not_right(answer: str):
    assert compare("2", answer, LIMIT_S) in ("wrong", "unparsed", "error")


def test_a_tower_ends_at_the_limit():
    assert compare("5", "9^{9^{9^{9}}}", 1) == "timeout"


def test_what_looks_like_code_is_not_run(tmp_path: Path):
    victim = tmp_path / "victim"
    for code in (f"open('{victim}','w')", f"__import__('pathlib').Path('{victim}').touch()", f"exec('open({victim})')"):
        for gold, answer in (("2", code), (code, "2"), ("2", f"\\text{{{code}}}"), (code, code.replace("'", '"'))):
            compare(gold, answer, LIMIT_S)
            unreadable_because(gold)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=100)
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_has_a_verdict(gold: str, answer: str):
    assert compare(gold, answer, LIMIT_S) in ("right", "wrong", "unparsed", "timeout", "error")


@settings(max_examples=200)
@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_integers_are_equal_when_they_are(a: int, b: int):
    assert (compare(str(a), str(b), LIMIT_S) == "right") == (a == b)
    assert compare(str(a), f"{a}.0", LIMIT_S) == "right"


@settings(max_examples=100)
@given(st.integers(-50, 50), st.integers(1, 50), st.integers(2, 9))
def test_fractions_are_equal_in_every_notation(top: int, bottom: int, factor: int):
    gold = rf"\frac{{{top}}}{{{bottom}}}"
    for answer in (rf"\dfrac{{{factor * top}}}{{{factor * bottom}}}", f"{top}/{bottom}", f"({top})/({bottom})"):
        assert compare(gold, answer, LIMIT_S) == "right"
    assert compare(gold, rf"\frac{{{top + 1}}}{{{bottom}}}", LIMIT_S) == "wrong"


def rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def golds_of(shared: Path, name: str) -> Counter[str]:
    return Counter(str(row["answer"]) for row in rows(shared / "data" / f"{name}.jsonl"))


def test_every_labelled_response_comes_out_right():
    cases = rows(RESPONSES)
    assert len(cases) == 66
    verdicts = {case["id"]: compare(str(case["answer"]), last_boxed(case["response"]) or "", LIMIT_S) for case in cases}
    assert [case["id"] for case in cases if (verdicts[case["id"]] == "right") != (case["expected"] == 1)] == []


@pytest.mark.parametrize(
    ("name", "unparsed"),
    [("math500", 0), ("aime24", 0), ("aime25", 0), ("hmmt_feb_2024", 0), ("hmmt_feb_2025", 0), ("cmimc_2025", 0)],
)
def test_every_gold_of_a_benchmark_can_be_compared_with_and_equals_itself(shared: Path, name: str, unparsed: int):
    golds = golds_of(shared, name)
    assert [gold for gold in golds if compare(gold, gold, LIMIT_S) != "right"] == []
    assert sum(count for gold, count in golds.items() if unreadable_because(gold) is not None) == unparsed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "empty", "unparsed"),
    [("math12k_train", 2, 3), ("deepmath_sample", 0, 6), ("dapo17k", 0, 0), ("gsm8k_train", 0, 0)],
)
def test_every_gold_of_a_train_set_equals_itself(shared: Path, name: str, empty: int, unparsed: int):
    """Empty golds aside. Those that cannot be parsed, groups and rings mostly, equal a copy of themselves only."""
    golds = golds_of(shared, name)
    assert sum(count for gold, count in golds.items() if compare(gold, gold, LIMIT_S) != "right") == empty
    assert sum(count for gold, count in golds.items() if unreadable_because(gold) is not None) == unparsed

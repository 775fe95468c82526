import pytest

from rsgrpo.data.cleaning import (
    LACKS,
    clean,
    hold_out,
    in_words,
    normalised,
    with_suffix,
    without_conflicts,
    without_empty,
    without_overlap,
    without_repeats,
)
from rsgrpo.types import Problem
from tests.data.tables import plainly


def problems(*pairs: tuple[str, str]) -> list[Problem]:
    return [Problem(id=str(i), text=text, answer=answer) for i, (text, answer) in enumerate(pairs)]


def ids(found: list[Problem]) -> list[str]:
    return [problem.id for problem in found]


SAME = [
    ("What is\n 1 + 1?", "what is 1+1"),
    ("Find $x$ in $2x = 4$.", "Find \\(x\\) in \\[2x=4.\\]"),
    ("Evaluate $\\log_82$.", "Evaluate $\\log_8 2$."),
    ('A "lame king" moves', "A \u201clame king\u201d moves"),
    ("Initially, the first room", "Initially the first room"),
    ("roots $r_1, \\overline{r_1}$", "roots $r_1,$ $\\overline{r}_1$"),
    ("$\\left|x\\right|$", "$|x|$"),
    ("$\\underline{a}\\,\\underline{b}$", "$\\underline{a} \\underline{b}$"),
    ("\uff41\uff0b\uff11 \u2460", "a+1 1"),
]

DIFFERENT = [
    ("roots of $z^4 + z^2 + 1$", "roots of $z^4 - z^2 + 1$"),
    ("Compute $\\tan 225^\\circ$.", "Compute $\\tan 22.5^\\circ.$"),
    ("Compute $\\arcsin 1.$", "Compute $\\arcsin (-1).$"),
    ("$88 \\div 4 \\div 2$", "$88 \\div (4 \\div 2)$"),
    ("$\\frac{1}{23}$", "$\\frac{12}{3}$"),
    ("What is 5 + 3?", "What is 5 - 3?"),
    ("the point (1,2)", "the point (12)"),
    ("$5!$", "$5$"),
    ("$\\alpha$", "$\\beta$"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_typography_makes_no_other_problem(left: str, right: str):
    assert normalised(left) == normalised(right)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_signs_numbers_and_letters_do(left: str, right: str):
    assert normalised(left) != normalised(right)


def test_a_problem_without_text_or_answer_is_left_out():
    found = problems(("a", "1"), ("b", " "), ("", "2"), ("\n", ""), ("c", "0"))
    kept, count = without_empty(found)
    assert (ids(kept), count) == (["0", "4"], {"with an empty problem or answer (for example 1)": 3})


def test_why_a_problem_has_no_answer_is_told_with_an_example():
    lacking = [
        Problem(id=str(i), text="x", answer="", origin=f"row {i}", facts={LACKS: why})
        for i, why in enumerate(("with NaN", "with a list", "with NaN"))
    ]
    kept, removed = without_empty([*lacking, *problems(("a", "1"))])
    assert (len(kept), removed) == (1, {"with NaN (for example row 0)": 2, "with a list (for example row 1)": 1})


def test_all_of_those_that_contradict_each_other_are_left_out():
    found = problems(("A b", "1"), ("c", "1"), ("ab", "2"), ("a  B", "1"), ("c", " 1 "))
    kept, count = without_conflicts(found)
    assert (ids(kept), count) == (["1", "4"], 3)


def test_the_first_of_those_that_repeat_each_other_stays():
    found = problems(("a", "7 - 2 \\pi"), ("b", "1"), ("A", "7-2\\pi"), ("a ", "7-2\\pi"))
    kept, count = without_repeats(found)
    assert (ids(kept), count) == (["0", "1"], 2)


def test_what_another_set_asks_is_left_out_whatever_its_answer():
    kept, count = without_overlap(problems(("a", "1"), ("b", "1"), ("A", "1")), problems(("a", "2"), ("z", "1")))
    assert (ids(kept), count) == (["1"], 2)


def test_every_problem_is_kept_or_counted_once():
    found = problems(("a", "1"), ("a", "1"), ("b", ""), ("c", "1"), ("c", "2"), ("c", "2"), ("d", "4"), ("b", "9"))
    kept, removed = clean(found)
    assert ids(kept) == ["0", "6", "7"]
    assert plainly(removed) == {"with an empty problem or answer": 1, "with differing answers": 3, "repeated": 1}
    assert in_words(removed) == (
        "1 with an empty problem or answer (for example 2), 3 with differing answers, 1 repeated"
    )
    assert in_words({"repeated": 0, "also in a test set": 1234}) == "1,234 also in a test set"


MANY = problems(*((f"What is {i} + 1?", str(i + 1)) for i in range(200)))


@pytest.mark.parametrize("count", [0, 1, 50, 200])
def test_what_is_held_out_and_what_is_left_are_the_whole_in_order(count: int):
    train, validation = hold_out(MANY, count)
    assert len(validation) == count
    assert sorted(ids(train + validation), key=int) == ids(MANY)
    assert ids(train) == sorted(ids(train), key=int)
    assert ids(validation) == sorted(ids(validation), key=int)


def test_what_is_held_out_depends_on_the_texts_alone():
    texts = {p.text for p in hold_out(MANY, 50)[1]}
    others = [Problem(id=f"x{p.id}", text=p.text.upper(), answer="?") for p in reversed(MANY)]
    assert {p.text.replace("WHAT IS", "What is") for p in hold_out(others, 50)[1]} == texts
    assert {p.text for p in hold_out(MANY, 20)[1]} < texts
    held = {p.text for p in hold_out(MANY[:150], 50)[1]}
    assert texts & {p.text for p in MANY[:150]} <= held, "more problems move nobody in"


def test_held_out_problems_are_not_the_first_ones():
    # All 20 of the first half by chance has odds below 1 to a million.
    assert {int(p.id) < 100 for p in hold_out(MANY, 20)[1]} == {True, False}


def test_a_suffix_leaves_everything_else():
    (problem,) = with_suffix([Problem(id="a", text="x?", answer="1", origin="o", facts={"dataset": "d"})], "\nBox.")
    assert problem == Problem(id="a", text="x?\nBox.", answer="1", origin="o", facts={"dataset": "d"})

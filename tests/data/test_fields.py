"""What a field of a row means: numbers, lists, marks, labels, boxes and messages."""

from typing import Any

import pytest

from rsgrpo.data.fields import NO_NUMBER, RECORD, SEVERAL, Asked, Gold, answer_in, gold_of, problem_at
from rsgrpo.data.rows import Row, Written
from rsgrpo.errors import UserError
from rsgrpo.types import Message

KEY = "data.columns.answer"


def row_with(value: object, column: str = "answer") -> Row:
    return Row({column: value}, 3, "own row 3", [column])


def gold(value: object) -> Gold:
    return gold_of(value, row_with(value), "answer", KEY)


SOLUTION = "First 2 + 3 = 5.\nThen \\boxed{4} is wrong, and \\boxed{\\frac{1}{2}} right.\nThat is all."
ANSWERS = {
    "5": "5",
    "073": "073",
    " 5 ": " 5 ",
    "x = 5": "x = 5",
    "5cm": "5cm",
    "see solution": "see solution",
    "N/A": "N/A",
    "#### 5": "5",
    "2 + 3 = <<2+3=5>>5 clips\n#### 2,125 ": "2,125",
    "#### 1\n#### 5": "5",
    "a #### b": "a #### b",
    "Answer: 5": "5",
    "answer = 5": "5",
    "The answer is 5.": "5",
    "The final answer is: $5$.": "$5$",
    "**Final Answer:** 5": "5",
    "Add them.\nAnswer: 5\n": "5",
    "The answer is not 4. Answer: 5": "5",
    "The answer is 5. Hence the claim.": "5",
    "Ans: 5": "5",
    "Ans. 5": "5",
    "All humans. 5": "All humans. 5",
    "Solution: 5": "5",
    "The result is 5.": "5",
    "no solution: 5": "no solution: 5",
    "Answer: x is 2.5": "x is 2.5",
    "the answer": "the answer",
    SOLUTION: r"\frac{1}{2}",
    r"\boxed{5}": "5",
    r"$\boxed {\{1, 2\}}$": r"\{1, 2\}",
    r"So \boxed 5": "5",
    r"\boxed{5} and \boxed{": r"\boxed{5} and \boxed{",
    r"\boxed{}": r"\boxed{}",
    r"\boxed{": r"\boxed{",
    "Answer: \\boxed{5}\n#### 6": "5",
}


@pytest.mark.parametrize("text", ANSWERS)
def test_the_answer_of_a_text(text: str):
    assert gold(text) == Gold(ANSWERS[text])
    assert answer_in(text) == ANSWERS[text]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (10**22, "1" + "0" * 22),
        (1e-05, "0.00001"),
        (Written("1e22"), "1" + "0" * 22),
        ("1e-05", "0.00001"),  # every cell of a CSV file is text
        ("6.02E23", "602" + "0" * 21),
        (" -1.5e3 ", "-1500"),
        ("2e", "2e"),
        ("e5", "e5"),
        ("3e^2", "3e^2"),
        (["5"], "5"),
        ([5], "5"),
        ([["5"]], "5"),
        (["5", "5"], "5"),
        (["#### 5"], "5"),
        ('["5"]', "5"),
        ('["\\\\frac{1}{2}"]', r"\frac{1}{2}"),
        ("[5, 10]", "[5, 10]"),  # an interval, for all that one can tell
        ('["5', '["5'),
        ("['5']", "5"),  # a list of Python in a cell
        ("['#### 5', \"5\"]", "5"),
        ("{'a', 'b'}", "{'a', 'b'}"),
        ('["5", 6]', '["5", 6]'),
    ],
)
def test_the_answer_of_a_value(value: object, text: str):
    assert gold(value) == Gold(text)


@pytest.mark.parametrize("value", [None, "", "  ", [], [None], [""]])
def test_nothing_is_no_answer(value: object):
    assert gold(value) == Gold("")


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), "nan", "NaN.", "<NA>", " -inf", [float("nan")]])
def test_what_is_no_number_is_no_answer(value: object):
    assert gold(value) == Gold("", NO_NUMBER)


@pytest.mark.parametrize("value", [["5", "10"], [5, 10], '["5", "10"]', "['5', '10']", ["1/2", 0.5]])
def test_of_several_answers_none_is_taken(value: object):
    assert gold(value) == Gold("", SEVERAL)


@pytest.mark.parametrize("value", ['{"value": 5}', "{'value': '5', 'unit': None}", ' { "a": ["5"]}', ["{'value': 5}"]])
def test_a_record_spelled_out_is_no_answer(value: object):
    assert gold(value) == Gold("", RECORD)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (True, r"own row 3: field 'answer' is true; it must be text or a number"),
        (b"5", r"own row 3: field 'answer' is \"b'5'\"; it must be text or a number"),
        ({"value": "5", "unit": "cm"}, r"has parts \('value', 'unit'\); .* data\.columns\.answer=answer\.value$"),
        ([{"value": "5"}], r"has parts \('value'\)"),
        (["5", True], r"is true; it must be text or a number"),
    ],
)
def test_what_cannot_be_an_answer_is_refused_with_its_row_and_column(value: object, says: str):
    with pytest.raises(UserError, match=says):
        gold(value)


def problem(value: object) -> Asked:
    return problem_at(row_with(value, "prompt"), "prompt", "data.columns.problem")


def said(*messages: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in messages]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("What?\n", "What?\n"),
        (5, "5"),
        (None, ""),
        (" \n", ""),
        (float("nan"), ""),
        (said(("user", "What?")), "What?"),
    ],
)
def test_the_text_of_a_problem(value: object, text: str):
    assert problem(value) == Asked(text)


@pytest.mark.parametrize(
    ("turns", "text"),
    [
        ((("system", "Be brief."), ("user", "What?")), "What?"),
        ((("user", "a"), ("assistant", "b"), ("user", "c")), "a\n\nb\n\nc"),
        ((("system", ""), ("user", " ")), ""),
        ((("user", "a"), ("user", "b")), "a\n\nb"),
    ],
)
def test_messages_are_a_conversation_whose_text_is_without_the_system_s(turns: tuple[tuple[str, str], ...], text: str):
    assert problem(said(*turns)) == Asked(text, tuple(Message(*turn) for turn in turns))


def test_a_part_that_is_null_in_a_parquet_file_is_none():
    turns = [{"role": "system", "content": "a", "name": None}, {"role": "user", "content": "b", "name": None}]
    assert problem(turns).messages == (Message("system", "a"), Message("user", "b"))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (said(("assistant", "a")), r"ends with a message of the assistant, .* end it with one of the user$"),
        (
            said(("user", "a"), ("assistant", "b")),
            r"ends with a message of the assistant, .*, or name .*: data\.columns\.problem=prompt\.0\.content$",
        ),
        (
            [{"content": "a"}, {"content": "b"}],
            r"message 0 has no role; a message has a role and a content, both text$",
        ),
        ([{"role": "user", "content": "a", "tool_calls": []}], r"message 0 has 'tool_calls' too; a message has"),
        (
            said(("user", [{"type": "text", "text": "a"}])),
            r"is a list; name the part .* data\.columns\.problem=prompt\.0$",
        ),
        (["What?"], r"is a list; name the part that is the problem: data\.columns\.problem=prompt\.0$"),
        ([], r"is a list"),
        ({"en": "What?"}, r"has parts \('en'\); name the right one with data\.columns\.problem=prompt\.en$"),
        (True, r"field 'prompt' is true; it must be text or a number"),
    ],
)
def test_what_is_no_problem_is_refused_with_its_row_and_column(value: object, says: str):
    with pytest.raises(UserError, match=rf"^own row 3: .*{says}"):
        problem(value)

"""Where the answer stands in a text."""

import pytest

from rsgrpo.verification.boxes import last_boxed


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{7}", "7"),
        (r"\boxed{}", ""),
        (r"\boxed{1} no, \boxed{2} after all", "2"),
        (r"\boxed{1}\boxed{2}\boxed{3}", "3"),
        (r"\boxed{\frac{1}{2}} and then {some} more {braces}", r"\frac{1}{2}"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{a{b}c{d{e}}}", "a{b}c{d{e}}"),
        ("\\boxed{two\nlines}", "two\nlines"),
        ("", None),
        ("7", None),
        (r"\boxed", None),
        (r"\boxed{", None),
        (r"\boxed{7", None),
        (r"\boxed{{7}", None),
        (r"boxed{7}", None),
        (r"\boxed 7", "7"),
        (r"\boxed {13}", "13"),
        (r"\fbox{13}", "13"),
        (r"\boxed 12.5.", "12.5"),
        (r"so $\boxed\frac{1}{2}$", r"\frac{1}{2}"),
        (r"\boxed\pi.", r"\pi"),
        (r"\boxed x", "x"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxedness", None),
        (r"<think>\boxed{5}", None),
        (r"\boxed{4}<think>\boxed{5}", "4"),
        (r"<think>\boxed{5}</think> It is \boxed{6}.", "6"),
        (r"<think>\boxed{5}</think> It is 6.", "5"),
        (r"}{\boxed", None),
    ],
)
def test_the_answer_is_what_the_last_box_holds(text: str, content: str | None):
    assert last_boxed(text) == content


def test_a_million_opened_boxes_are_no_answer():
    assert last_boxed("\\boxed{" * 1_000_000) is None
    assert last_boxed("\\boxed{" + "{" * 1_000_000) is None
    assert last_boxed("\\boxed{" + "{" * 500_000 + "7" + "}" * 500_001) == "{" * 500_000 + "7" + "}" * 500_000

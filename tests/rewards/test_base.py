import pytest

from rsgrpo.rewards.base import Reward, last_boxed
from rsgrpo.rewards.countdown import CountdownReward
from rsgrpo.rewards.math_verify import MathVerifyReward


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
        (r"\boxed 7", None),
        (r"}{\boxed", None),
    ],
)
def test_the_answer_is_what_the_last_box_holds(text: str, content: str | None):
    assert last_boxed(text) == content


def test_a_million_opened_boxes_are_no_answer():
    assert last_boxed("\\boxed{" * 1_000_000) is None
    assert last_boxed("\\boxed{" + "{" * 1_000_000) is None
    assert last_boxed("\\boxed{" + "{" * 500_000 + "7" + "}" * 500_001) == "{" * 500_000 + "7" + "}" * 500_000


def test_the_built_in_rewards_are_rewards():
    assert isinstance(CountdownReward(), Reward)
    assert isinstance(MathVerifyReward(), Reward)

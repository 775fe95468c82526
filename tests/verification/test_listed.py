import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.verification.listed import boxed_numbers, whole_numbers


@pytest.mark.parametrize("boxed", ["", " ", "1,2", "-1", "+1", "1.0", "1 x", "1234567890", "１", "1_0"])  # noqa: RUF001
def test_anything_but_whole_numbers_is_none(boxed: str):
    assert whole_numbers(boxed) is None


@given(st.lists(st.integers(0, 999_999_999), min_size=1), st.sampled_from([" ", "  ", "\t", "\n"]))
def test_whole_numbers_are_read_whatever_white_space_is_between_them(numbers: list[int], between: str):
    assert whole_numbers(between.join(map(str, numbers))) == numbers
    assert boxed_numbers(f"1 2 \\boxed{{{between.join(map(str, numbers))}}} 3") == numbers


@pytest.mark.parametrize(
    ("text", "numbers"), [("1 2", None), (r"\boxed{1 2", None), (r"\boxed{1} \boxed{2 3}", [2, 3])]
)
def test_the_last_box_is_read(text: str, numbers: list[int] | None):
    assert boxed_numbers(text) == numbers

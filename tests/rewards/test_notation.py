"""One notation for the same mark, and what notation alone can tell."""

# ruff: noqa: RUF001  (signs that look like others are what is tested)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.rewards.notation import (
    MAX_DEPTH,
    based_number,
    choice,
    congruence,
    full_arguments,
    letters,
    same_congruence,
    squeezed,
    tidy,
    too_deep,
    word,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"\frac \pi4 + 2 - \sqrt2", r"\frac{\pi}{4} + 2 - \sqrt{2}"),
        (r"\dfrac12", r"\frac{1}{2}"),
        (r"\tfrac{a}b", r"\frac{a}{b}"),
        (r"\frac{\frac12}3", r"\frac{\frac{1}{2}}{3}"),
        (r"\sqrt[3]{5}", r"\sqrt[3]{5}"),
        ("√6", r"\sqrt{6}"),
        ("√(x+1)", r"\sqrt{x+1}"),
        ("−984", "-984"),
        (r"0.\overline{3}", r"\frac{1}{3}"),
        (r"1.2\overline{34}", r"\frac{611}{495}"),
        (r"10,\!080", "10080"),
        (r"\$7.50", "7.50"),
        (r"$5$", "5"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"( 3, \frac{\pi}{2} )"),
        (r"9\text{ cm}", "9"),
        (r"9 \text{ cm}^2", "9"),
        (r"3\pi \text{ square inches}", r"3\pi"),
        ("9 cm", "9"),
        ("5 hours", "5"),
        (r"72^\circ", "72"),
        (r"72^{\circ}", "72"),
        (r"\begin{pmatrix} 1 \end{pmatrix}.", r"\begin{pmatrix} 1 \end{pmatrix}"),
        (r"5 \text{ or } 7", r"5 \text{ or } 7"),
        (r"\text{Evelyn}", r"\text{Evelyn}"),
        (r"\textbf{103}", r"\text{103}"),
        (r"\approx 8.24", "8.24"),
        ("5x", "5x"),
        ("2ab", "2ab"),
        ("5m", "5m"),
        ("", ""),
        (r"\frac", r"\frac"),
        (r"\sqrt{", r"\sqrt{"),
    ],
)
def test_one_notation(written: str, meant: str):
    assert tidy(written) == meant


@given(st.text(alphabet=st.sampled_from(r"\{}[]()$ .,^_%0123456789abcfrqst√−"), max_size=40))
def test_any_text_can_be_tidied_and_twice_is_once(text: str):
    once = full_arguments(text)
    assert full_arguments(once) == once
    for read in (tidy, squeezed, word, based_number, congruence, choice, letters, too_deep):
        read(text)


@pytest.mark.parametrize(("text", "deep"), [("(" * MAX_DEPTH + ")" * MAX_DEPTH, False), ("{" * (MAX_DEPTH + 1), True)])
def test_nesting_has_a_limit(text: str, deep: bool):
    assert too_deep(text) is deep


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "yes"),
        (r"\text{Yes}", "yes"),
        (r"\text{the same as the reference answer}", "the same as the reference answer"),
        ("east", "east"),
        ("Stokes-Green", "stokes green"),
        ("ab", None),
        ("xyz", None),
        ("2x", None),
        ("7", None),
        (r"\pi", None),
        ("x = east", None),
    ],
)
def test_words(text: str, expected: str | None):
    assert word(text) == expected


def test_congruences():
    assert congruence(r"x \equiv 3 \pmod{7}") == ("x", "3", "7")
    assert congruence(r"x\equiv3\pmod 7") == ("x", "3", "7")
    assert congruence(r"a \equiv b \pmod{n}") == ("a", "b", "n")
    assert congruence("3") is None
    assert same_congruence(("x", "3", "7"), ("x", "-4", "7"))
    assert same_congruence(("", "3", "7"), ("x", "3", "7"))
    assert not same_congruence(("x", "3", "7"), ("y", "3", "7"))
    assert not same_congruence(("x", "b", "n"), ("x", "c", "n"))
    assert not same_congruence(("x", "3", "0"), ("x", "4", "0"))

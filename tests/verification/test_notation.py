"""One notation for the same mark."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.verification.bases import based_number, congruence
from rsgrpo.verification.clock import date, time_of_day
from rsgrpo.verification.notation.tidy import MAX_DEPTH, squeezed, tidy, too_deep
from rsgrpo.verification.notation.words import choice, phrase
from rsgrpo.verification.reading.answers import read


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("√(x+1)", r"\sqrt{x+1}"),
        (r"1.2\overline{34}", r"\frac{611}{495}"),
        (r"\$7.50", r"\$7.50"),
        (r"$5$", "5"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"( 3, \frac{\pi}{2} )"),
        (r"72^{\circ}", r"72\degree"),
        (r"5 \text{ or } 7", r"5 \text{ or } 7"),
        (r"\textbf{103}", "103"),
        ("", ""),
        (r"\frac", r"\frac"),
        (r"\sqrt{", r"\sqrt{"),
    ],
)
def test_one_notation(written: str, meant: str):
    assert tidy(written) == meant


@given(st.text(alphabet=st.sampled_from(r"\{}[]()$ .,^_%0123456789abcfrqst√|=<>"), max_size=40))
def test_any_text_can_be_read_or_not(text: str):
    text = tidy(text)
    for reader in (squeezed, phrase, based_number, congruence, choice, date, time_of_day, too_deep, read):
        reader(text)


@pytest.mark.parametrize(("text", "deep"), [("(" * MAX_DEPTH + ")" * MAX_DEPTH, False), ("{" * (MAX_DEPTH + 1), True)])
def test_nesting_has_a_limit(text: str, deep: bool):
    assert too_deep(text) is deep

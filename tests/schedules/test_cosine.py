"""Half a cosine to the objective's own value."""

from typing import Any

import pytest

from rsgrpo.errors import FieldError
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.schedules.cosine import Cosine
from rsgrpo.schedules.linear import Linear
from tests.schedules.cases import values


def test_beta_at_each_iteration() -> None:
    # One held; then 2 + (8 - 2)(1 + cos x)/2 at x = 0, pi/4, pi/2, 3 pi/4, pi with cos pi/4 = 0.7071068:
    # 8, 2 + 3 * 1.7071068 = 7.1213203, 5, 2 + 3 * 0.2928932 = 2.8786797, 2.
    got = values(Cosine(start=8.0, hold=1, decay=4), RSGRPO(beta=2.0), "beta", 8)
    assert got == pytest.approx([8.0, 8.0, 7.1213203, 5.0, 2.8786797, 2.0, 2.0, 2.0], abs=1e-7)


def test_it_starts_and_ends_exactly_where_it_should() -> None:
    # (1 + cos pi)/2 is 0 in floating point too: no remainder of the start is left.
    got = values(Cosine(start=0.3, hold=0, decay=7), RSGRPO(beta=0.1), "beta", 9)
    assert (got[0], got[7], got[8]) == (0.3, 0.1, 0.1)


def test_it_leaves_slowly_and_meets_the_straight_line_half_way() -> None:
    curved = values(Cosine(start=8.0, decay=8), RSGRPO(beta=2.0), "beta", 9)
    straight = values(Linear(start=8.0, decay=8), RSGRPO(beta=2.0), "beta", 9)
    assert all(c > s for c, s in zip(curved[1:4], straight[1:4], strict=True))
    assert curved[4] == pytest.approx(straight[4], abs=1e-12)
    assert all(c < s for c, s in zip(curved[5:8], straight[5:8], strict=True))


def test_beta_may_end_below_zero() -> None:
    # -1 + 4 (1 + cos x)/2: 3, -1 + 4 * 0.8535534 = 2.4142136, 1, -1 + 4 * 0.1464466 = -0.4142136, -1
    got = values(Cosine(start=3.0, decay=4), RSGRPO(beta=-1.0), "beta", 5)
    assert got == pytest.approx([3.0, 2.4142136, 1.0, -0.4142136, -1.0], abs=1e-7)


def test_k_is_rounded() -> None:
    # 9, 1 + 8 * 0.8535534 = 7.83, 5, 1 + 8 * 0.1464466 = 2.17, 1
    assert values(Cosine(start=9.0, decay=4), MaxPO(k=1), "k", 6) == [9.0, 8.0, 5.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"decay": 0}, "decay=0 must be at least 1"),
        ({"decay": 4, "hold": -1}, "hold=-1 must be at least 0"),
        ({"decay": 4, "start": float("inf")}, "start=inf must be a finite number"),
    ],
)
def test_a_value_outside_its_range_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError, match=says):
        Cosine(**settings)

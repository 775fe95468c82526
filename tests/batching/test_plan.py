"""Sizes of an iteration, and dealing it into updates."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.batching.plan import BatchPlan, deal
from rsgrpo.errors import FieldError

SIZES: dict[str, Any] = {"prompts_per_iteration": 12, "completions_per_prompt": 4, "prompts_per_update": 3}


@given(items=st.lists(st.integers(), max_size=50), hands=st.integers(1, 60))
def test_every_item_is_dealt_once_in_order_and_evenly(items, hands):
    dealt = deal(items, hands)
    assert len(dealt) == hands
    assert [item for hand in dealt for item in hand] == items
    sizes = [len(hand) for hand in dealt]
    assert max(sizes) - min(sizes) <= 1


def test_larger_hands_come_first():
    # 7 = 2 + 2 + 2 + 1.
    assert deal("abcdefg", 4) == [["a", "b"], ["c", "d"], ["e", "f"], ["g"]]


def test_updates_of_an_epoch():
    assert BatchPlan(**SIZES).updates_per_epoch == 4
    assert BatchPlan(**{**SIZES, "prompts_per_update": 12}).updates_per_epoch == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"completions_per_prompt": 1}, "completions_per_prompt=1 must be at least 2, for a baseline"),
        ({"prompts_per_update": 24}, "prompts_per_update=24 exceeds prompts_per_iteration=12"),
        ({"prompts_per_update": 5}, "prompts_per_update=5 does not divide prompts_per_iteration=12"),
        ({"prompts_per_iteration": 0}, "prompts_per_iteration=0 must be at least 1"),
        ({"prompts_per_update": 0}, "prompts_per_update=0 must be at least 1"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"row_tokens": 0}, "row_tokens=0 must be at least 1"),
        ({"epochs": True}, "epochs=True must be a whole number"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_with_a_cure(change, problem):
    with pytest.raises(FieldError) as refused:
        BatchPlan(**{**SIZES, **change})
    said, _, cure = str(refused.value).partition("; ")
    assert said == problem
    assert cure

"""Which groups are trained on, and why the others are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.batching.filters import DropEqualRewards, GroupFilter, KeepAll
from rsgrpo.types import Outcome, Score

FILTERS = [DropEqualRewards(), KeepAll()]


def outcome(*scores: tuple[float, bool]) -> Outcome:
    """Of a group with the given (reward, correct) of each completion."""
    n = len(scores)
    return Outcome(
        prompt_id="p",
        scores=tuple(Score(value=value, correct=correct) for value, correct in scores),
        lengths=(1,) * n,
        finished=(True,) * n,
        mean_logprobs=(0.0,) * n,
    )


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([(1.0, True), (1.0, True)], "all_correct"),
        ([(0.0, False), (0.0, False)], "all_wrong"),
        ([(1.0, True), (0.0, False)], None),
        # Rewards that are no verdicts: equal, though one is right and one wrong.
        ([(0.5, True), (0.5, False)], "equal_rewards"),
        # All wrong, but with different rewards: there is something to learn.
        ([(0.1, False), (0.0, False)], None),
        ([(1.0, True), (0.9, True)], None),
        # Far below any threshold on a standard deviation, and yet different.
        ([(1.0, True), (1.0 + 1e-12, True)], None),
        # The mean of three times 0.1 is not 0.1 in floating point; the rewards are equal all the same.
        ([(0.1, False), (0.1, False), (0.1, False)], "all_wrong"),
        # .1 + .2 is not .3 in floating point: one rounding apart is equal.
        ([(0.1 + 0.2, False), (0.3, False)], "all_wrong"),
        # Zero has two signs, which compare equal.
        ([(0.0, False), (-0.0, False)], "all_wrong"),
    ],
)
def test_groups_of_equal_rewards_are_dropped_for_a_reason(scores, reason):
    assert DropEqualRewards()([outcome(*scores)]) == [reason]


def test_reasons_are_aligned_with_the_groups():
    solved, mixed, failed = (outcome((a, a > 0), (b, b > 0)) for a, b in [(1.0, 1.0), (0.0, 1.0), (0.0, 0.0)])
    assert DropEqualRewards()([solved, mixed, failed, mixed]) == ["all_correct", None, "all_wrong", None]
    assert KeepAll()([solved, mixed, failed, mixed]) == [None] * 4


@pytest.mark.parametrize("group_filter", FILTERS, ids=["drop_equal_rewards", "none"])
@given(rewards=st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=4), max_size=6))
def test_kept_and_dropped_are_all_groups(group_filter, rewards):
    assert isinstance(group_filter, GroupFilter)
    groups = [outcome(*((r, r == 1) for r in row)) for row in rewards]
    reasons = group_filter(groups)
    kept = [g for g, reason in zip(groups, reasons, strict=True) if reason is None]
    dropped = [g for g, reason in zip(groups, reasons, strict=True) if reason is not None]
    assert len(kept) + len(dropped) == len(groups)
    if isinstance(group_filter, DropEqualRewards):
        assert all(max(g.rewards) > min(g.rewards) for g in kept)
        assert all(max(g.rewards) == min(g.rewards) for g in dropped)
    else:
        assert kept == groups

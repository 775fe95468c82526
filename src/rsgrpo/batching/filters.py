"""Which groups of an iteration are trained on: dynamic sampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from rsgrpo.errors import UserError, failures_name_their_place, maker_of
from rsgrpo.objectives.base import differ
from rsgrpo.types import Outcome


@runtime_checkable
class GroupFilter(Protocol):
    """Gives for each group the reason why it is dropped, or None to keep it. Kept and dropped together are all of them.

    It sees the groups of all ranks, and every rank asks it: the same outcomes have to give the same answer. After a
    refill it is asked again, about all groups of the iteration.
    """

    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]: ...


def reasons(group_filter: GroupFilter, outcomes: Sequence[Outcome]) -> list[str | None]:
    """The verdict of a filter on each group.

    Raises:
        UserError: naming its class and what it raised, or that it returned something else.
    """
    with failures_name_their_place("filter", group_filter, "__call__", like=GroupFilter.__call__):
        said: object = group_filter(outcomes)
    answers = list(said) if isinstance(said, list | tuple) else []
    if len(answers) != len(outcomes) or not all(answer is None or isinstance(answer, str) for answer in answers):
        raise UserError(
            f"filter: {maker_of(group_filter).__name__} returned {repr(said)[:100]} for {len(outcomes)} groups; return "
            "a list that has for each group None, to keep it, or text, the reason why it is dropped"
        )
    return answers


@dataclass(frozen=True, slots=True, kw_only=True)
class DropEqualRewards:
    """Drop groups whose rewards are all equal: a centred advantage is zero there (DAPO's dynamic sampling).

    Compares the rewards themselves, never their standard deviation; .1 + .2 and .3, which differ by rounding, are
    equal. The reason is `all_correct`, `all_wrong` or `equal_rewards`.
    """

    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        return [_reason(outcome) for outcome in outcomes]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAll:
    """Keep every group: for objectives whose advantage is not zero on groups of equal rewards."""

    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        return [None] * len(outcomes)


def _reason(outcome: Outcome) -> str | None:
    if differ(torch.tensor([outcome.rewards], dtype=torch.float64)).item():
        return None
    return {len(outcome.scores): "all_correct", 0: "all_wrong"}.get(outcome.num_correct, "equal_rewards")

"""What every engine is held to while its groups come."""

import pytest
import torch

from rsgrpo.rollouts.engine import checked_groups
from rsgrpo.types import Completion, Group, Problem, Prompt

PROMPTS = [Prompt(problem=Problem(id=str(i), text="", answer=""), token_ids=(1,)) for i in range(2)]


def group(index: int, completions: int = 2, logprobs: int = 3) -> tuple[int, Group]:
    one = Completion(token_ids=(4, 5, 6), logprobs=torch.zeros(logprobs), text="", finished=False, policy_version=0)
    return index, Group(prompt=PROMPTS[index % 2], completions=(one,) * completions)


def test_groups_come_as_they_are_in_any_order() -> None:
    groups = [group(1), group(0)]
    assert list(checked_groups(iter(groups), PROMPTS, 2)) == groups


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ([group(0)], "has left out prompt 1 of 2"),
        ([group(0), group(0)], "has yielded prompt 0 of 2 twice"),
        ([group(2)], "prompt 2 of 2 twice, or was never given it"),
        ([group(0, completions=1)], "has yielded 1 completions, not 2"),
        ([group(0, logprobs=2)], "more or fewer log-probs than tokens"),
    ],
)
def test_a_broken_promise_is_named(groups: list[tuple[int, Group]], says: str) -> None:
    with pytest.raises(RuntimeError, match=says):
        list(checked_groups(groups, PROMPTS, 2))

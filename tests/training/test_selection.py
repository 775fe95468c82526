"""What an objective may know of the groups that are kept."""

from dataclasses import replace

import pytest

from rsgrpo.objectives.base import PromptHistory
from rsgrpo.training.history import History
from rsgrpo.training.selection import advantage_context
from rsgrpo.types import Score
from tests.metrics.test_metrics import outcome

pytestmark = pytest.mark.usefixtures("as_users_run_it")

GROUPS = (outcome("a", [1.0, 0.0, 1.0], [4, 5, 6], cut=1), outcome("b", [0.0, 0.0, 1.0], [1, 2, 3]))


def test_the_context_is_a_table_of_the_outcomes() -> None:
    rewards, context = advantage_context(GROUPS, iteration=7, completions=3, history=None)
    assert rewards.tolist() == [[1, 0, 1], [0, 0, 1]]
    assert (context.iteration, context.prompt_ids, context.completions) == (7, ["a", "b"], 3)
    assert context.lengths is not None
    assert context.finished is not None
    assert context.lengths.tolist() == [[4, 5, 6], [1, 2, 3]]
    assert context.finished.tolist() == [[False, True, True], [True, True, True]]
    assert context.accuracies.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert (context.answers, context.entropies, context.history) == (None, None, None)


def test_what_was_computed_for_every_group_is_there() -> None:
    asked = [replace(o, answers=("1", None, "2"), mean_entropies=(0.1, 0.2, 0.3)) for o in GROUPS]
    _, context = advantage_context(asked, iteration=1, completions=3, history=[PromptHistory(), PromptHistory()])
    assert context.answers == [("1", None, "2")] * 2
    assert context.entropies is not None
    assert context.entropies.tolist() == [[0.1, 0.2, 0.3]] * 2


def test_no_groups_make_an_empty_table() -> None:
    rewards, context = advantage_context([], iteration=1, completions=3, history=None)
    assert list(rewards.shape) == [0, 3]
    assert context.completions == 3


def test_correct_is_what_the_reward_calls_correct() -> None:
    paid = replace(GROUPS[0], scores=tuple(Score(value=0.5, correct=c) for c in (True, False, False)))
    rewards, context = advantage_context([paid], iteration=1, completions=3, history=None)
    assert context.correct is not None
    assert (rewards.tolist(), context.correct.tolist()) == ([[0.5] * 3], [[True, False, False]])


def test_the_history_of_a_prompt_grows_with_each_visit() -> None:
    history = History()
    assert history.of(["a"]) == [PromptHistory()]
    history.observe([GROUPS[0], GROUPS[1], GROUPS[0]], iteration=3)
    history.observe([GROUPS[1]], iteration=4)
    a, b, new = history.of(["a", "b", "c"])
    assert a == PromptHistory(visits=2, completions=6, correct=4, reward_sum=4.0, last_iteration=3)
    assert b == PromptHistory(visits=2, completions=6, correct=2, reward_sum=2.0, last_iteration=4)
    assert new == PromptHistory()
    again = History()
    again.load_state_dict(history.state_dict())
    assert again.of(["a", "b"]) == [a, b]

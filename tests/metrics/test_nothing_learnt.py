"""Why an iteration taught nothing, from reports that are made by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from rsgrpo.metrics.nothing_learnt import SHOWN, kind, reason, shortened, taught_nothing
from rsgrpo.types import Completion, Group, Problem, Prompt, Score, ScoredGroup, StepReport, UpdateReport

UPDATE = UpdateReport(
    loss=0.0,
    grad_norm=0.0,
    learning_rate=1e-3,
    num_sequences=4,
    num_rows=1,
    loss_tokens=4,
    row_tokens=8,
    diagnostics={},
)
WRONG, RIGHT = Score(value=0.0, correct=False), Score(value=1.0, correct=True)
NO_BOX = Score(value=0.0, correct=False, parts={"no_box": 1.0, "format": 1.0})


def a_group(place: int, scores: list[Score], texts: list[str] | None, *, finished: bool) -> ScoredGroup:
    prompt = Prompt(problem=Problem(id=f"p{place}", text="?", answer="!"), token_ids=(1,))
    completions = tuple(
        Completion(token_ids=(1, 2), logprobs=-torch.ones(2), text=text, finished=finished, policy_version=0)
        for text in texts or [f"text {place}.{i}" for i in range(len(scores))]
    )
    return ScoredGroup(group=Group(prompt=prompt, completions=completions), scores=tuple(scores))


def a_report(*groups: list[Score], finished: bool = True, texts: list[str] | None = None, **changed: Any) -> StepReport:
    scored = {place: a_group(place, scores, texts, finished=finished) for place, scores in enumerate(groups)}
    report = StepReport(
        iteration=1,
        iterations=9,
        optimizer_steps=0,
        policy_version=1,
        train_set_size=9,
        outcomes=tuple(group.outcome for group in scored.values()),
        dropped=("all_wrong",) * len(groups),
        groups=scored,
        advantages=torch.zeros(0, len(groups[0])),
        in_force={},
        updates=(),
        entropy=None,
        logprob_gap=None,
        seconds={},
    )
    return replace(report, **changed)


def test_all_without_a_box_say_so_once_with_one_of_them() -> None:
    report = a_report([NO_BOX] * 2, [NO_BOX] * 2)
    assert taught_nothing(report)
    assert reason(report, limit="max_new_tokens=12") == (
        "every group was dropped, nothing to train on: all 4 completions are wrong (reward 0); all have no \\boxed{}; "
        'one of them: "text 0.0"'
    )


def test_the_example_is_one_of_the_most_frequent_diagnosis() -> None:
    malformed = Score(value=-1.0, correct=False, parts={"maths/malformed": 1.0, "maths/no_box": 0.0})
    said = reason(a_report([NO_BOX, malformed], [malformed, WRONG]), limit="max_new_tokens=12")
    assert "all 4 completions are wrong (rewards -1 to 0)" in said
    assert "2 have an answer that cannot be read; 1 have no \\boxed{}" in said
    assert said.endswith('one of them: "text 0.1"')


def test_cut_off_completions_name_the_limit() -> None:
    assert "all are cut off at max_new_tokens=12, try a larger one" in reason(
        a_report([WRONG] * 2, finished=False), limit="max_new_tokens=12"
    )
    assert "cut off" not in reason(a_report([WRONG] * 2), limit="max_new_tokens=12")


@pytest.mark.parametrize(
    ("groups", "name", "cause"),
    [
        ([[RIGHT] * 2] * 2, "all_right", "all 4 completions are right (reward 1)"),
        ([[WRONG] * 2] * 2, "all_wrong", "all 4 completions are wrong (reward 0)"),
        ([[RIGHT] * 2, [WRONG] * 2], "equal_rewards", "within each of the 2 groups are equal (rewards 0 to 1)"),
        ([[RIGHT, WRONG]] * 3, "dropped", "3 groups by all_wrong"),
    ],
)
def test_each_kind_has_its_cause(groups: list[list[Score]], name: str, cause: str) -> None:
    report = a_report(*groups)
    assert (kind(report), cause in reason(report, limit="max_new_tokens=9")) == (name, True)


def test_a_gradient_of_0_teaches_nothing_either() -> None:
    """Without a filter, groups of equal rewards are trained on."""
    report = a_report([WRONG] * 2, updates=(UPDATE,), advantages=torch.zeros(1, 2))
    assert taught_nothing(report)
    assert reason(report, limit="max_new_tokens=9").startswith("every advantage was 0: ")
    assert reason(replace(report, advantages=torch.ones(1, 2)), limit="max_new_tokens=9").startswith(
        "the gradient was 0: "
    )
    assert not taught_nothing(replace(report, updates=(UPDATE, replace(UPDATE, grad_norm=0.5))))


def test_a_rank_without_groups_shows_no_completion() -> None:
    assert "one of them" not in reason(a_report([WRONG] * 2, groups={}), limit="max_new_tokens=9")


def test_a_long_text_is_shown_on_a_line_with_both_ends() -> None:
    line = shortened("first\n\n" + "word " * 1000 + "last\x1b[2J")
    assert line.startswith("first word")
    assert line.endswith("last\\x1b[2J")
    assert len(line) <= SHOWN + 6

"""check_fields refuses what a class could not use, and the records answer what is asked of them."""

import math
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest
import torch

from rsgrpo.types import (
    Completion,
    FieldError,
    Group,
    Problem,
    Prompt,
    Sampling,
    Score,
    ScoredGroup,
    StepReport,
    check_fields,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One field of each kind that is checked, one that is not."""

    rate: float = 0.5
    count: int = 3
    flag: bool = False
    name: str = "a"
    limit: int | None = None
    share: float | None = None
    other: Any = None

    def __post_init__(self) -> None:
        check_fields(self, rate=(0.0, 1.0), count=(1, math.inf), limit=(2, 8))


def refused(**values: Any) -> FieldError:
    with pytest.raises(FieldError) as error:
        Settings(**values)
    return error.value


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rate": 0},  # a whole number is a number
        {"rate": 1.0, "count": 1, "limit": 2},  # bounds are inclusive
        {"limit": 8, "count": 10**9},
        {"limit": None, "share": None},
        {"share": -7.5},
        {"flag": True, "name": "", "other": object()},
    ],
)
def test_values_of_the_right_kind_and_size_are_taken(values):
    assert Settings(**values)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("rate", "0.5", "must be a number"),
        ("rate", None, "must be a number"),
        ("rate", [0.5], "must be a number"),
        ("rate", True, "must be a number"),
        ("share", False, "must be a number"),
        ("count", True, "must be a whole number"),
        ("count", 2.0, "must be a whole number"),
        ("count", "3", "must be a whole number"),
        ("count", None, "must be a whole number"),
        ("limit", 2.5, "must be a whole number"),
        ("flag", 1, "must be true or false"),
        ("flag", "true", "must be true or false"),
        ("flag", None, "must be true or false"),
        ("name", 5, "must be text"),
        ("name", None, "must be text"),
        ("rate", math.nan, "must be a finite number"),
        ("rate", math.inf, "must be a finite number"),
        ("share", -math.inf, "must be a finite number"),
        ("rate", 1.5, "must be between 0 and 1"),
        ("rate", -0.001, "must be between 0 and 1"),
        ("count", 0, "must be at least 1"),
        ("limit", 1, "must be between 2 and 8"),
        ("limit", 9, "must be between 2 and 8"),
    ],
)
def test_other_values_are_refused_with_field_value_and_problem(name, value, problem):
    error = refused(**{name: value})
    assert (error.name, error.problem) == (name, problem)
    assert error.value is value
    assert name in error.cure
    assert str(error) == f"{name}={value} {problem}; {error.cure}"


def test_a_cure_is_something_that_works():
    # The cure of a value out of bounds is itself a setting: taking its word for it must not be refused again.
    name, _, value = refused(count=-4).cure.removeprefix("try ").partition("=")
    assert name == "count"
    assert Settings(count=int(value)).count == 1


def test_a_field_error_is_a_value_error():
    assert isinstance(refused(count=0), ValueError)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.01}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"min_p": -0.1}, "min_p"),
    ],
)
def test_sampling_refuses_what_no_sampler_can_do(change, name):
    with pytest.raises(FieldError) as error:
        Sampling(**{"max_new_tokens": 8, **change})
    assert error.value.name == name


@pytest.mark.parametrize(
    ("change", "truncates"),
    [({}, False), ({"temperature": 0.5}, False), ({"top_p": 0.9}, True), ({"top_k": 5}, True), ({"min_p": 0.1}, True)],
)
def test_sampling_knows_whether_it_cuts_the_distribution(change, truncates):
    assert Sampling(**{"max_new_tokens": 8, **change}).truncates is truncates


def test_a_scored_group_tells_rewards_from_correctness():
    prompt = Prompt(problem=Problem(id="p", text="", answer=""), token_ids=(1,))
    completion = Completion(token_ids=(7,), logprobs=torch.zeros(1), text="", finished=True, policy_version=0)
    scores = (Score(value=0.9, correct=False), Score(value=1.0, correct=True), Score(value=0.0, correct=True))
    scored = ScoredGroup(group=Group(prompt=prompt, completions=(completion,) * 3), scores=scores)
    assert scored.rewards == (0.9, 1.0, 0.0)
    assert scored.num_correct == 2
    assert prompt.id == "p"


@pytest.mark.parametrize(("iteration", "is_last"), [(1, False), (2, False), (3, True)])
def test_the_last_step_knows_that_it_is_the_last(iteration, is_last):
    report = StepReport(
        iteration=iteration,
        iterations=3,
        optimizer_steps=0,
        policy_version=0,
        train_set_size=1,
        groups=(),
        dropped=(),
        advantages=torch.zeros(0, 4),
        updates=(),
        entropy=None,
        logprob_gap=None,
        seconds={},
    )
    assert report.is_last is is_last


def test_records_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Score(value=1.0, correct=True).value = 2.0  # pyright: ignore[reportAttributeAccessIssue]

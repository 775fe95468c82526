"""check_fields refuses what a class could not use, and the records answer what is asked of them."""

import json
import math
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import jaxtyping
import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.errors import FieldError, UserError, field_errors_name_their_key, keyed
from rsgrpo.fields import check_fields
from rsgrpo.types import Completion, Group, Problem, Prompt, Sampling, Score, ScoredGroup, StepReport


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


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The other annotations: one of a few words, and a number that may be one for each prompt."""

    estimator: Literal["plain", "loo"] = "plain"
    level: Literal[1, 2] = 1
    beta: float | Float[Tensor, "P 1"] = 2.0
    k: int | Int[Tensor, "P 1"] = 4
    tilt: float | Float[Tensor, "P 1"] | None = None

    def __post_init__(self) -> None:
        check_fields(self, k=(1, math.inf), beta=(-9.0, 9.0))


@pytest.mark.parametrize(
    "values",
    [
        {"estimator": "loo", "level": 2},
        {"beta": -2, "k": 1},
        {"beta": torch.tensor([[2.0], [0.0]]), "k": torch.tensor([[4], [1]])},
        {"beta": torch.tensor([[50.0]])},  # bounds are of numbers: a schedule checks what it makes
        {"tilt": torch.zeros(3, 1)},
        {"tilt": 0.5},
        {"tilt": None},
    ],
    ids=str,
)
def test_words_of_the_list_and_numbers_for_each_prompt_are_taken(values):
    assert Objective(**values)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("estimator", "pluggin", "is unknown"),
        ("estimator", None, "is unknown"),
        ("estimator", "LOO", "is unknown"),
        ("level", 3, "is unknown"),
        ("beta", "abc", "must be a number"),
        ("beta", None, "must be a number"),
        ("beta", [2.0], "must be a number"),
        ("beta", True, "must be a number"),
        ("beta", math.nan, "must be a finite number"),
        ("beta", -math.inf, "must be a finite number"),
        ("beta", 9.5, "must be between -9 and 9"),
        ("k", 2.0, "must be a whole number"),
        ("k", "4", "must be a whole number"),
        ("k", 0, "must be at least 1"),
        ("tilt", "null", "must be a number"),
        ("tilt", math.nan, "must be a finite number"),
    ],
)
def test_other_words_and_values_are_refused(name, value, problem):
    with pytest.raises(FieldError) as error:
        Objective(**{name: value})
    assert (error.value.name, error.value.problem) == (name, problem)


def test_an_unknown_word_is_answered_with_the_list():
    with pytest.raises(FieldError, match="estimator=std is unknown; choose one of plain, loo"):
        Objective(estimator="std")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("objective", "objective.k=9 is too large; try objective.k=8, or a larger batching.k=3 than k"),
        ("", "k=9 is too large; try k=8, or a larger batching.k=3 than k"),
        ("a.b", "a.b.k=9 is too large; try a.b.k=8, or a larger batching.k=3 than k"),
    ],
)
def test_a_refused_field_is_named_by_its_key_in_the_cure_too(prefix, message):
    # Keys of others, which have a prefix or a longer name, stay as they are.
    error = FieldError("k", 9, "is too large", "try k=8, or a larger batching.k=3 than k")
    assert keyed(error, prefix) == message


def test_a_key_that_ends_like_the_field_is_another_key():
    error = FieldError("k", 9, "is too large", "try k=8 or rank=2")
    assert keyed(error, "objective") == "objective.k=9 is too large; try objective.k=8 or rank=2"


def test_a_field_error_becomes_the_user_error_of_its_key():
    message = r"^objective\.k=0 must be at least 1; try objective\.k=1$"
    with pytest.raises(UserError, match=message) as error, field_errors_name_their_key("objective"):
        Objective(k=0)
    assert isinstance(error.value.__cause__, FieldError)


@pytest.mark.parametrize("mistake", [UserError("already clear"), ValueError("of a programmer"), KeyError("k")])
def test_other_errors_pass_as_they_are(mistake):
    with pytest.raises(type(mistake)) as error, field_errors_name_their_key("objective"):
        raise mistake
    assert error.value is mistake


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
    outcome = ScoredGroup(group=Group(prompt=prompt, completions=(completion,) * 3), scores=scores).outcome
    assert outcome.rewards == (0.9, 1.0, 0.0)
    assert (outcome.num_correct, outcome.accuracy) == (2, 2 / 3)
    assert outcome.prompt_id == prompt.id == "p"


def test_an_outcome_tells_what_became_of_each_completion_without_its_tokens():
    prompt = Prompt(problem=Problem(id="p", text="", answer=""), token_ids=(1,))
    long = Completion(token_ids=(7, 8), logprobs=torch.tensor([-1.0, -2.0]), text="x", finished=False, policy_version=0)
    short = Completion(token_ids=(9,), logprobs=torch.tensor([-0.5]), text="y", finished=True, policy_version=0)
    score = Score(value=1.0, correct=True)
    outcome = ScoredGroup(group=Group(prompt=prompt, completions=(long, short)), scores=(score, score)).outcome
    assert (outcome.lengths, outcome.finished) == ((2, 1), (False, True))
    assert outcome.mean_logprobs == (-1.5, -0.5)


@pytest.mark.parametrize(("iteration", "is_last"), [(1, False), (2, False), (3, True)])
def test_the_last_step_knows_that_it_is_the_last(iteration, is_last):
    report = StepReport(
        iteration=iteration,
        iterations=3,
        optimizer_steps=0,
        policy_version=0,
        train_set_size=1,
        outcomes=(),
        groups={},
        dropped=(),
        advantages=torch.zeros(0, 4),
        in_force={},
        updates=(),
        entropy=None,
        logprob_gap=None,
        seconds={},
    )
    assert report.is_last is is_last
    assert replace(report, stopped_by="SIGTERM").is_last


def test_records_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Score(value=1.0, correct=True).value = 2.0  # pyright: ignore[reportAttributeAccessIssue]


# --- what a user's reward hands over


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No runtime type checks, as in a real run: the record itself has to take or refuse a value of another kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


NUMBERS = {
    "int": 1,
    "bool": True,
    "numpy int": np.int64(1),
    "numpy bool": np.bool_(True),
    "numpy float32": np.float32(1),
    "numpy array of one": np.array(1.0),
    "tensor of one": torch.tensor(1),
    "tensor with a gradient": torch.tensor(1.0, requires_grad=True),
    "fraction": Fraction(1),
    "decimal": Decimal(1),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", NUMBERS)
def test_a_score_keeps_any_number_as_a_float(kind: str) -> None:
    number: Any = NUMBERS[kind]
    score = Score(value=number, correct=number, parts={"part": number})
    assert (type(score.value), type(score.correct), type(score.parts["part"])) == (float, bool, float)
    assert (score.value, score.correct, score.parts) == (1.0, True, {"part": 1.0})
    assert json.dumps([score.value, score.correct, score.parts])  # records are JSON


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("wrong", [None, "1.0", b"1", [1.0], torch.ones(2), 1j], ids=repr)
def test_a_score_refuses_what_is_no_number(wrong: Any) -> None:
    with pytest.raises(FieldError, match=r"^value=.* must be a number"):
        Score(value=wrong, correct=True)
    with pytest.raises(FieldError, match=r"^parts\['size'\]=.* must be a number"):
        Score(value=1.0, correct=True, parts={"size": wrong})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("wrong", [None, "False", "", 0.5, 2, float("nan"), [], torch.ones(2)], ids=repr)
def test_a_score_refuses_a_correct_that_is_neither_true_nor_false(wrong: Any) -> None:
    with pytest.raises(FieldError, match=r"^correct=.* must be true or false"):
        Score(value=1.0, correct=wrong)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("wrong", [None, [("a", 1.0)], {None: 1.0}, {1: 1.0, "a": 2.0}, {"": 1.0}], ids=repr)
def test_a_score_refuses_parts_without_a_name(wrong: Any) -> None:
    with pytest.raises(FieldError, match=r"^parts=.* must have names and numbers"):
        Score(value=1.0, correct=True, parts=wrong)

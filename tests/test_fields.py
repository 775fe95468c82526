"""What `check_fields` refuses comes with a value that the same class takes."""

import json
import math
import re
from dataclasses import fields
from typing import Any

import pytest

from rsgrpo.bandit.landscape import Peaks
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.data.countdown import Countdown, Demonstrations
from rsgrpo.errors import FieldError, keyed
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.fields import as_typed, check_arguments, check_numbers
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.objectives.entropic import Entropic
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.schedules.adaptive import Adaptive
from rsgrpo.schedules.linear import Linear
from rsgrpo.training.optimizer import AdamW
from rsgrpo.types import Sampling

pytestmark = pytest.mark.usefixtures("as_users_run_it")

SAMPLING = Sampling(max_new_tokens=8)
CLASSES: list[tuple[type, dict[str, Any]]] = [
    (AdamW, {"lr": 1e-4}),
    (BatchPlan, {"prompts_per_iteration": 8, "completions_per_prompt": 4, "prompts_per_update": 8}),
    (Sampling, {"max_new_tokens": 8}),
    (EvaluationPlan, {"sampling": SAMPLING}),
    (ClipLoss, {}),
    (GRPO, {}),
    (RSGRPO, {}),
    (Entropic, {}),
    (Adaptive, {}),
    (Linear, {"decay": 5}),
    (Countdown, {}),
    (Demonstrations, {}),
    (Peaks, {}),
]
WRONG = ["abc", "", -1, 0, 1.5, 1e300, math.nan, math.inf, 10**40, 10**400, True, None, [], [1], ["a"], {"a": 1}, [[1]]]
FIELDS = [(cls, given, name) for cls, given in CLASSES for name in (spec.name for spec in fields(cls) if spec.init)]


@pytest.mark.parametrize(("cls", "given", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", None))
def test_the_cure_of_a_refused_value_is_taken(cls: type, given: dict[str, Any], name: str) -> None:
    for value in WRONG:
        error = _refusal(cls, {**given, name: value})
        if error is None or error.name != name:
            continue
        tried = re.search(rf"try {name}=(\S+?)(?:,? or |$)", error.cure)
        if tried is None:
            assert re.search("leave it out|choose one of|name a run|use objective=|set decay|give a ", error.cure), (
                error
            )
            continue
        again = _refusal(cls, {**given, name: _typed(tried[1])})
        assert again is None or again.name != name, f"{error} -> {again}"


def _refusal(cls: type, settings: dict[str, Any]) -> FieldError | None:
    try:
        cls(**settings)
    except FieldError as error:
        return error
    return None


def _typed(text: str) -> Any:
    """What the command line makes of a value."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def test_a_learning_rate_that_is_refused_is_not_answered_with_one_that_trains_nothing() -> None:
    with pytest.raises(FieldError, match=r"lr=-1 must be at least 0; try lr=1e-06"):
        AdamW(lr=-1)


def test_the_k_that_can_be_estimated_are_kept_and_the_completions_of_the_others_named() -> None:
    with pytest.raises(FieldError) as error:
        EvaluationPlan(sampling=SAMPLING, k=[1, 8, 256])
    assert error.value.cure == ("try k=[1,8], or draw more: validation_completions=256 test_completions=256")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rate": "abc"}, r"rate=abc must be a number; try rate=0\.5"),
        ({"names": 3}, "names=3 must be a list of texts; leave it out"),
        ({"rate": 10**400}, "rate=.* must be a finite number"),
        ({"other": object()}, ""),
        ({"rate": 1, "names": ["a"]}, ""),
    ],
)
def test_arguments_are_held_to_a_signature(values: dict[str, Any], said: str) -> None:
    def takes(names: list[str], rate: float = 0.5, untyped=None) -> None: ...

    if not said:
        check_arguments(takes, values)
        return
    with pytest.raises(FieldError, match=said):
        check_arguments(takes, values)


def test_a_value_is_repeated_on_one_line_of_bounded_length() -> None:
    error = FieldError("beta", "x\n" * 5000, "must be a number", "try beta=2")
    assert len(str(error)) < 250
    assert "\n" not in str(error)


def test_lists_are_typed_without_spaces() -> None:
    assert as_typed([0.9, [1, None]]) == "[0.9,[1,null]]"
    with pytest.raises(FieldError, match=r"try betas=\[0\.9,0\.95\]"):
        check_numbers("betas", 3, 2, "[0, 1)", example=[0.9, 0.95])


def test_the_cure_of_a_part_of_a_field_has_the_whole_key() -> None:
    error = FieldError("columns", {}, "must name both", "try columns.answer=answer, or remove columns")
    assert keyed(error, "data").endswith("; try data.columns.answer=answer, or remove data.columns")

"""What a metric may return, and the names it is logged under."""

from typing import Any

import pytest
import torch

from rsgrpo.errors import UserError
from rsgrpo.metrics.base import record
from tests.metrics.test_metrics import report

pytestmark = pytest.mark.usefixtures("as_users_run_it")


def test_names_without_a_slash_are_of_training_and_others_are_as_they_are() -> None:
    metrics = {
        "a": lambda _: {"x": 1, "time/y": 2.5},
        "b": lambda _: {"z": torch.tensor(3.0), "w": True},
        "c": lambda _: {},
    }
    assert record(metrics, report()) == {"train/x": 1.0, "time/y": 2.5, "train/z": 3.0, "train/w": 1.0}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (None, "callbacks.mine returned NoneType; return names and numbers"),
        ([1.0], "callbacks.mine returned list"),
        ({"x": "high"}, "callbacks.mine returned 'x': 'high'; return a number"),
        ({"x": None}, "callbacks.mine returned 'x': None"),
        ({"x": torch.zeros(2)}, "callbacks.mine returned 'x': tensor"),
        ({3: 1.0}, "callbacks.mine returned 3: 1.0"),
        ({"": 1.0}, "callbacks.mine returned ''"),
        ({"loss": 1.0}, "callbacks.mine returned 'loss', which another metric logs already; rename it"),
    ],
)
def test_anything_else_is_one_sentence_that_names_the_metric(said: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        record({"first": lambda _: {"loss": 0.0}, "mine": lambda _: said}, report())

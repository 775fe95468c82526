"""What a callback or a logger of one's own raises while a run goes on is one sentence with its place."""

import inspect
from pathlib import Path
from typing import Any

import lightning
import pytest
from lightning.pytorch.loggers.logger import Logger

import rsgrpo
from rsgrpo.errors import OwnCodeFailed
from rsgrpo.models.policy import Policy
from tests.fitting.small import PROBLEMS, recipe

pytestmark = [pytest.mark.usefixtures("as_users_run_it"), pytest.mark.filterwarnings("ignore")]


def lookup(table: dict[str, int]) -> int:
    return table["absent"]


class OfABatch(lightning.Callback):
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        lookup({})


class OfAnEvaluation(lightning.Callback):
    def on_evaluated(self, split: str, iteration: int, place: int, scored: Any) -> None:
        lookup({})


class OfTheStart(lightning.Callback):
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        lookup({})


class OwnLogger(Logger):
    name, version = "own", 0  # pyright: ignore[reportAssignmentType]

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        lookup({})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"callbacks": [OfABatch()]}, "callbacks: OfABatch.on_train_batch_end raised KeyError('absent')"),
        ({"callbacks": [OfAnEvaluation()]}, "callbacks: OfAnEvaluation.on_evaluated raised KeyError('absent')"),
        ({"callbacks": [OfTheStart()]}, "callbacks: OfTheStart.on_fit_start raised KeyError('absent')"),
        ({"logger": OwnLogger()}, "logger: OwnLogger.log_metrics raised KeyError('absent')"),
    ],
)
def test_it_names_class_method_exception_and_place(policy: Policy, given: dict[str, Any], says: str) -> None:
    with pytest.raises(OwnCodeFailed) as caught:
        rsgrpo.fit(policy, recipe(), PROBLEMS, validation=PROBLEMS[:2], accelerator="cpu", **given)
    line = inspect.getsourcelines(lookup)[1] + 1
    assert str(caught.value).startswith(f"{says} ({Path(__file__)}, line {line}); correct it")
    assert isinstance(caught.value.__cause__, KeyError)  # for RSGRPO_TRACEBACK=1

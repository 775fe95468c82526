"""The line of progress, and what it says of iterations that teach nothing."""

import io
from dataclasses import replace
from unittest.mock import Mock

import lightning
from rich.console import Console

from rsgrpo.callbacks.progress import ProgressLine
from rsgrpo.training.module import RLModule
from rsgrpo.types import Score, StepReport
from tests.fitting.small import SAMPLING
from tests.fitting.small import recipe as small_recipe
from tests.metrics.test_nothing_learnt import NO_BOX, RIGHT, UPDATE, WRONG, a_report


def printed(reports: list[StepReport]) -> list[str]:
    """What is printed of iterations that follow one another, without the lines of progress."""
    line = ProgressLine(every=1000)
    out = io.StringIO()
    line.console = Console(file=out, width=80)
    trainer, module = Mock(spec=lightning.Trainer), Mock(spec=RLModule)
    module.iteration, module.metrics, module.recipe = 0, {}, small_recipe()
    line.on_train_start(trainer, module)
    for number, report in enumerate(reports, start=1):
        module.iteration = number
        line.on_train_batch_end(
            trainer, module, {"report": replace(report, iteration=number, iterations=5000)}, None, 0
        )
    line.on_train_end(trainer, module)
    return [text for text in out.getvalue().splitlines() if not text.startswith("iteration 1/")]


def idle(score: Score) -> StepReport:
    return a_report([score] * 2)


def test_the_reason_is_said_once_and_then_counted() -> None:
    taught = a_report([WRONG, RIGHT], updates=(replace(UPDATE, grad_norm=1.0),))
    said = printed([taught, *[idle(NO_BOX)] * 105])
    assert [line.partition(":")[0] for line in said] == [
        *("iteration 2", "iteration 11", "iteration 101", "105 of 106 iterations taught nothing")
    ]
    assert "no \\boxed{}" in said[0]
    assert said[-1].endswith(": 105 all wrong")


def test_another_reason_is_said_once_too() -> None:
    said = printed([idle(WRONG), idle(RIGHT), idle(WRONG), idle(RIGHT), idle(RIGHT)])
    assert [line.partition(":")[0] for line in said] == [
        *("iteration 1", "iteration 2", "5 of 5 iterations taught nothing")
    ]
    assert said[-1].endswith(": 3 all right, 2 all wrong")


def test_a_run_that_learns_says_nothing_of_it() -> None:
    assert printed([a_report([WRONG, RIGHT], updates=(replace(UPDATE, grad_norm=1.0),))] * 3) == []


def test_the_limit_is_named_once() -> None:
    """By the reason, or else by a line of its own."""
    said = printed([a_report([WRONG] * 2, finished=False)] * 2)
    assert sum(f"sampling.max_new_tokens={SAMPLING.max_new_tokens}" in line for line in said) == 1
    taught = a_report([WRONG, RIGHT], finished=False, updates=(replace(UPDATE, grad_norm=1.0),))
    assert sum(f"sampling.max_new_tokens={SAMPLING.max_new_tokens}" in line for line in printed([taught] * 3)) == 1

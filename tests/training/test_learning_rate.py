"""The learning rate of each update: the library's own numbers, and what does not suit a run is refused."""

import inspect
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from transformers import get_scheduler
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import SchedulerType

from rsgrpo.command_line.own_names import in_keys
from rsgrpo.errors import FieldError, UserError, field_errors_name_their_key
from rsgrpo.training.learning_rate import EXAMPLES, LEVEL, NEEDS, SET_HERE, Name
from rsgrpo.training.optimizer import AdamW
from tests.processes import python
from tests.runs import RunPy, records
from tests.training.test_module import PLAN, RECIPE
from tests.training.test_run import assert_same_weights

NAMES = get_args(Name)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr": 1e-5},
    "warmup_stable_decay": {"num_decay_steps": 4, "min_lr_ratio": 0.05, "decay_type": "linear"},
    "cosine_with_restarts": {"num_cycles": 2},
    "polynomial": {"power": 2.0},
}


def rates(settings: AdamW, updates: int) -> list[float]:
    """The learning rate of each update, from a real optimiser."""
    optimizer, schedule = settings.build([torch.nn.Parameter(torch.ones(1))], updates=updates)
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def library(name: str, lr: float, warmup: int, updates: int, arguments: dict[str, Any]) -> list[float]:
    """The library's schedule of one step more than there are updates, from its second step on."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=lr)
    schedule: Any = get_scheduler(name, optimizer, warmup, updates + 1, arguments)
    found = []
    for _ in range(updates):
        optimizer.step()
        schedule.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_the_names_are_the_library_s_but_for_those_that_follow_a_metric() -> None:
    assert {*NAMES} == {kind.value for kind in SchedulerType} - {"reduce_lr_on_plateau", "greedy"}
    assert {*NEEDS, *LEVEL} <= {*NAMES}
    for name, needs in NEEDS.items():
        takes = inspect.signature(TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]).parameters
        assert {*needs} <= {*takes} - {*SET_HERE}
        assert {*needs} <= {*EXAMPLES}


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "constant"])
def test_each_schedule_gives_the_library_s_numbers(name: Any, warmup: int) -> None:
    arguments = ARGUMENTS.get(name, {})
    settings = AdamW(lr=1e-3, warmup_steps=warmup, lr_schedule=name, lr_schedule_args=arguments)
    found = rates(settings, 12)
    assert found == library(name, 1e-3, warmup, 12, arguments)
    assert all(rate > 0 for rate in found)
    if name not in LEVEL and name != "inverse_sqrt":
        assert found[-1] < 0.5 * max(found)


@pytest.mark.parametrize("name", LEVEL)
@pytest.mark.parametrize("warmup", [0, 1, 3, 20])
def test_constant_rises_to_lr_over_the_warm_up_and_stays(name: Any, warmup: int) -> None:
    expected = [1e-3 * min(1.0, (update + 1) / max(1, warmup)) for update in range(12)]
    assert rates(AdamW(lr=1e-3, warmup_steps=warmup, lr_schedule=name), 12) == expected


def test_linear_by_hand() -> None:
    """Up over 2 updates; down over the 4 that are left as if a fifth, at 0, were to come."""
    found = rates(AdamW(lr=1.0, warmup_steps=2, lr_schedule="linear"), 6)
    torch.testing.assert_close(found, [0.5, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_a_run_has_iterations_times_updates_times_epochs() -> None:
    plan = replace(PLAN, prompts_per_iteration=12, epochs=3)  # 3 updates an epoch
    assert replace(RECIPE, batching=plan, iterations=5).updates == 45


REFUSED = [
    ({"lr_schedule": "cosinus"}, r"^optimizer\.lr_schedule=cosinus is unknown; choose one of constant, .*cosine"),
    (
        {"lr_schedule": "linear", "lr_schedule_args": {"min_lr_rate": 0.1}},
        r"^optimizer\.lr_schedule_args\.min_lr_rate=0\.1 .*lr_schedule=linear takes no arguments; leave it out$",
    ),
    (
        {"lr_schedule_args": {"min_lr_rate": 0.1}},
        r"^optimizer\.lr_schedule_args\.min_lr_rate=0\.1 .*lr_schedule=constant takes no arguments",
    ),
    (
        {"lr_schedule": "cosine", "lr_schedule_args": {"num_training_steps": 9}},
        r"num_training_steps=9 cannot be used: .*cosine takes num_cycles; leave it out$",
    ),
    (
        {"lr_schedule": "cosine_with_min_lr"},
        r"^optimizer\.lr_schedule_args=\{\} lacks min_lr or min_lr_rate, which .* needs; add "
        r"optimizer\.lr_schedule_args\.min_lr_rate=0\.1$",
    ),
    ({"lr_schedule": "warmup_stable_decay"}, r"lacks num_decay_steps, .*; add optimizer\.lr_schedule_args\.num_decay"),
]


@pytest.mark.parametrize(("settings", "says"), REFUSED)
@pytest.mark.usefixtures("as_users_run_it")
def test_what_a_schedule_does_not_take_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says), field_errors_name_their_key("optimizer"):
        AdamW(lr=1e-3, **settings)


LINEAR = AdamW(lr=1e-3, warmup_steps=11, lr_schedule="linear")
STABLE = AdamW(lr=1e-3, warmup_steps=3, lr_schedule="warmup_stable_decay", lr_schedule_args={"num_decay_steps": 8})
DIPS = AdamW(lr=1e-3, lr_schedule="polynomial", lr_schedule_args={"lr_end": -1e-3})
WORD = AdamW(lr=1e-3, lr_schedule="cosine_with_min_lr", lr_schedule_args={"min_lr_rate": "a"})


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (
            LINEAR,
            r"^optimizer\.warmup_steps=11 is longer than the run, which has 10 updates in all; try ",
        ),
        (
            STABLE,
            r"^optimizer\.warmup_steps=3 and a decay of 8 updates are longer than .* 10 .*num_decay_steps=2$",
        ),
        (
            DIPS,
            r"^optimizer\.lr_schedule_args=\{lr_end:-0\.001\} does not suit .*: update \d+ would have -0\.",
        ),
        (
            replace(LINEAR, lr_schedule="polynomial", warmup_steps=0, lr=1e-8),
            r"does not suit optimizer\.lr_schedule=polynomial: lr_end .* must be smaller than initial lr",
        ),
        (
            WORD,
            r"^optimizer\.lr_schedule_args=\{min_lr_rate:a\} does not suit optimizer\.lr_schedule=cosine_with_min_lr: ",
        ),
    ],
)
def test_a_run_that_does_not_suit_its_schedule_is_refused(optimizer: AdamW, says: str) -> None:
    with pytest.raises(FieldError) as caught:
        replace(RECIPE, optimizer=optimizer, iterations=10)
    error = caught.value
    shown = in_keys(UserError(str(error), **error.fields))
    assert re.search(says, shown), shown
    replace(RECIPE, optimizer=replace(optimizer, lr_schedule="constant", lr_schedule_args={}), iterations=1)


COSINE = ("optimizer.lr_schedule=cosine", "optimizer.warmup_steps=3")


def logged(run: Path) -> dict[int, float]:
    return {r["iteration"]: r["train/learning_rate"] for r in records(run / "metrics.jsonl") if "train/loss" in r}


@pytest.mark.slow
def test_a_run_goes_on_with_its_schedule_and_an_extended_one_with_the_longer_one(run_py: RunPy, tmp_path: Path) -> None:
    whole = run_py(tmp_path / "whole", *COSINE, "callbacks.checkpoint.keep=9")
    part = run_py(tmp_path / "part", *COSINE, "callbacks.checkpoint.keep=9")
    run_py(part, f"ckpt={part / 'checkpoints' / 'iteration_000003'}")
    assert_same_weights(part, whole)
    assert logged(part) == logged(whole)
    of = {end: library("cosine", 1e-3, 3, end * 2, {}) for end in (6, 9)}
    longer = run_py(tmp_path / "longer", *COSINE)
    run_py(longer, f"ckpt={longer}", "iterations=9")
    assert logged(longer).keys() == {*range(1, 10)}  # every update has groups to learn from
    for iteration, rate in logged(longer).items():
        assert math.isclose(rate, (of[6] if iteration <= 6 else of[9])[2 * iteration - 1]), iteration


def test_a_command_line_names_the_schedule(tmp_path: Path) -> None:
    words = ("experiment=smoke", "optimizer.lr_schedule=linear", "optimizer.lr_schedule_args.min_lr_rate=0.1")
    said = python("run.py", *words, f'hydra.run.dir="{tmp_path / "run"}"')
    assert said.returncode == 2
    assert "optimizer.lr_schedule_args.min_lr_rate=0.1 cannot be used" in said.stderr

"""What a part of the user's own raises is one sentence with its place."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from rsgrpo.audit.enumeration import claimed_gradient
from rsgrpo.batching.filters import reasons
from rsgrpo.composition.machine import disk_refusals_are_told
from rsgrpo.errors import OwnCodeFailed, UserError, causes, failures_name_their_place
from rsgrpo.evaluation.sampling import failures_name_the_engine
from rsgrpo.losses.base import checked_loss
from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.objectives.checked import checked_advantages
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.rollouts.engine import EngineLost
from rsgrpo.types import TokenStatistics
from tests import failing_parts
from tests.failing_parts import FailingFilter, FailingLoss, FailingObjective, FailingSchedule
from tests.losses.test_clip import row_of

pytestmark = pytest.mark.usefixtures("as_users_run_it")

FILE = Path(failing_parts.__file__)
REWARDS = torch.tensor([[0.0, 1.0]])
TOKENS = torch.zeros(2)
CONTEXT = AdvantageContext(iteration=1, prompt_ids=["p"], sampler_logprobs=-torch.ones(1, 2))


def line_of(code: str) -> int:
    """The line of the file that holds this code."""
    return next(i for i, line in enumerate(FILE.read_text(encoding="utf-8").splitlines(), 1) if code in line)


@pytest.mark.parametrize(
    ("call", "says", "code"),
    [
        (
            lambda: checked_advantages(FailingObjective(), REWARDS, CONTEXT),
            "objective: FailingObjective.advantages raised KeyError('absent')",
            'table["absent"]',
        ),
        (
            lambda: claimed_gradient(FailingObjective(), torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), 2),
            "objective: FailingObjective.claim raised SystemExit(0)",
            "raise SystemExit",
        ),
        (
            lambda: FailingSchedule().in_force(RSGRPO(beta=2), CONTEXT),
            "schedule: FailingSchedule.value raised ZeroDivisionError('division by zero')",
            "1 / 0",
        ),
        (
            lambda: reasons(cast(Any, FailingFilter()), []),
            "filter: FailingFilter raised ZeroDivisionError('integer division or modulo by zero')",
            "1 // 0",
        ),
        (
            lambda: checked_loss(FailingLoss(), TokenStatistics(TOKENS, TOKENS), TOKENS, row_of(TOKENS)),
            "loss: FailingLoss raised ZeroDivisionError(",
            "2 / 0",
        ),
    ],
)
def test_it_names_class_method_exception_and_place(call: Callable[[], Any], says: str, code: str) -> None:
    with pytest.raises(OwnCodeFailed, match=re.escape(says)) as caught:
        call()
    assert f" ({FILE}, line {line_of(code)}); correct it" in str(caught.value)
    assert caught.value.__cause__ is not None  # for RSGRPO_TRACEBACK=1


def test_a_bug_of_ours_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError), failures_name_their_place("objective", RSGRPO(beta=2), "advantages"):
        _ = 1 / 0


def test_a_filter_that_says_too_little_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"filter: FailingFilter returned \[None\] for 2 groups; return a list that has"
    ):
        reasons(cast(Any, FailingFilter()), cast(Any, [None, None]))


def test_a_ring_of_causes_is_walked_once(tmp_path: Path) -> None:
    """Python lets an exception be the cause of its own cause."""
    first, second = KeyError("first"), ValueError("second")
    first.__cause__, second.__context__ = second, first
    assert list(causes(first)) == [first, second]
    with pytest.raises(KeyError), disk_refusals_are_told(tmp_path):
        raise first


def test_what_an_engine_hands_on_is_not_its_own_cause() -> None:
    lost = EngineLost("others wait")
    with pytest.raises(EngineLost) as caught, failures_name_the_engine(cast(Any, OwnEngine()), "generate"):
        raise lost
    assert list(causes(caught.value)) == [lost]


class OwnEngine:
    def generate(self) -> None: ...

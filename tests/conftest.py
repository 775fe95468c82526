"""Shared fixtures. Shapes and types of every public signature are checked while tests run.

The process that only deals tests out reads this file too, and the others wait for it: nothing heavy is imported here.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsgrpo.models.policy import Policy

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import jaxtyping

import tests.processes  # it keeps the environment as it is before the other imports add to it
import tests.typechecker

tests.typechecker.install()

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.runs import one_for_all, random_policy, run_py, six_iterations  # noqa: E402, F401  (fixtures)

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

# The same examples everywhere, and no limit of time: neither luck nor a slow machine decides a test.
settings.register_profile("any machine", deadline=None, derandomize=True)
settings.load_profile("any machine")

LONGEST = (
    *("test_effect.py", "test_crash.py", "test_fsdp2.py", "test_vllm_runs.py", "test_vllm.py", "test_play.py"),
    *("test_run.py", "test_bases.py", "test_fuzz.py", "test_countdown.py", "test_maths.py"),
)
"""Files whose tests take half a minute and more together."""


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Every process of tests computes in one thread, from the first file that it imports."""
    if isinstance(collector, pytest.Session):
        import torch

        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one process would still be at them when all others have ended."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def policy() -> "Policy":
    """A small policy with random weights, new for every test."""
    from rsgrpo.models.policy import Policy
    from rsgrpo.models.tiny import build_model, build_tokenizer

    tokenizer = build_tokenizer()
    return Policy(build_model(tokenizer, hidden_size=64, num_layers=2, seed=0), tokenizer)


@pytest.fixture(autouse=True)
def _outside_a_run() -> Iterator[None]:
    """Hydra remembers its last run in a process, and code that asks it would take the next test for a part of it."""
    from hydra.core.hydra_config import HydraConfig

    HydraConfig.instance().cfg = None
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material, which lies beside the checkout on some machines only."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference material at {SHARED}")
    return SHARED


@pytest.fixture
def as_users_run_it() -> Iterator[None]:
    """Tests check annotations at every call; here a wrong value meets the class itself, as it does in a user's run."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)

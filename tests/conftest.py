"""Shared fixtures. Shapes and types of every public signature are checked while tests run."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import jaxtyping
from jaxtyping import install_import_hook

import tests.processes  # it keeps the environment as it is before the other imports add to it
import tests.typechecker  # noqa: F401  (the hook imports the package only)

install_import_hook("rsgrpo", "tests.typechecker.check")

import pytest  # noqa: E402
import torch  # noqa: E402
from hydra.core.hydra_config import HydraConfig  # noqa: E402
from hypothesis import settings  # noqa: E402

from rsgrpo.models.policy import Policy  # noqa: E402
from rsgrpo.models.tiny import build_model, build_tokenizer  # noqa: E402
from tests.runs import random_policy, run_py, six_iterations  # noqa: E402, F401  (fixtures)

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

torch.set_num_threads(1)

# The same examples everywhere, and no limit of time: neither luck nor a slow machine decides a test.
settings.register_profile("any machine", deadline=None, derandomize=True)
settings.load_profile("any machine")

LONGEST = ("test_effect.py", "test_crash.py")
"""Files of a few tests that take minutes each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one process would still be at them when all others have ended."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def policy() -> Policy:
    """A small policy with random weights, new for every test."""
    tokenizer = build_tokenizer()
    return Policy(build_model(tokenizer, hidden_size=64, num_layers=2, seed=0), tokenizer)


@pytest.fixture(autouse=True)
def _outside_a_run() -> Iterator[None]:
    """Hydra remembers its last run in a process, and code that asks it would take the next test for a part of it."""
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

"""Hydra's launchers, which `make test SLOW=1` installs in a folder of their own: every process would look into it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton

Test = TypeVar("Test", bound=Callable[..., object])

FOLDER = Path(sys.prefix) / "launchers"

needs_launchers = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs what make test SLOW=1 installs")
"""For a test that starts processes, which get the folder in their PYTHONPATH."""


@pytest.fixture
def launchers_are_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hydra looks for plug-ins once, when it is first used."""
    monkeypatch.syspath_prepend(FOLDER)
    importlib.invalidate_caches()
    before = Singleton._instances.pop(Plugins, None)
    yield
    Singleton._instances.pop(Plugins, None)
    if before is not None:
        Singleton._instances[Plugins] = before


def installed(test: Test) -> Test:
    """For a test that uses Hydra's launchers in its own process, and imports this module's fixture."""
    return needs_launchers(pytest.mark.usefixtures("launchers_are_here")(test))

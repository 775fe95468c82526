"""Engines as a user would write them, each of which breaks a promise."""

from collections.abc import Callable, Iterator
from typing import Any

from rsgrpo.rollouts.engine import EngineLost
from rsgrpo.types import Group


class Own:
    """Whatever its function says."""

    parity = None

    def __init__(self, says: Callable[[Any, int], Any]) -> None:
        self.says = says

    def load_policy(self, weights: Any, *, version: int) -> None:
        raise OSError("no such device")

    def make_room(self) -> None: ...

    def close(self) -> None: ...

    def generate(self, prompts: Any, sampling: Any, *, num_completions: int, seeds: Any) -> Any:
        return self.says(prompts, num_completions)


class NoSeeds(Own):
    """Lacks an argument."""

    def generate(self, prompts: Any, sampling: Any, *, num_completions: int) -> Any:  # type: ignore[override]
        return []


def one_and_fail(prompts: Any, n: int) -> Iterator[tuple[int, Group]]:
    """Fails half way."""
    yield 0, Group(prompt=prompts[0], completions=())
    raise ZeroDivisionError("the device is gone")


def lost(prompts: Any, n: int) -> Any:
    """As vLLM's, when another rank waits."""
    raise EngineLost("gone")

"""Where the wall time of a step goes."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


class StageClock:
    """Wall seconds by stage, since the last `restart`. Stages do not nest."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all stages and begin a new step now."""
        self._seconds: dict[str, float] = {}
        self._begun = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to stage `name`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - begun

    def read(self) -> dict[str, float]:
        """Seconds of each stage, of everything between them (`other`) and of the whole (`step`); they sum to `step`."""
        step = time.perf_counter() - self._begun
        return {**self._seconds, "other": step - sum(self._seconds.values()), "step": step}


def stage(name: str) -> Callable[[Method], Method]:
    """Count a method's time as stage `name` on its object's `clock`."""

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
            with self.clock.stage(name):
                return method(self, *args, **kwargs)

        return cast(Method, timed)

    return decorate

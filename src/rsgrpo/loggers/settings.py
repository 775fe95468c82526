"""Settings that a logger passes on to Lightning's logger, on which it is built."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def check_passed_on(given: Mapping[str, Any], *takers: Callable[..., Any]) -> None:
    """Refuse what a logger would pass on, at its first record only, to something that does not take it.

    Raises:
        TypeError: as Python raises it for an unknown argument.
    """
    taken = {name for taker in takers for name in inspect.signature(taker).parameters}
    for name in given:
        if name not in taken - {"kwargs", "log_dir"}:
            raise TypeError(f"got an unexpected keyword argument {name!r}")

"""The runtime type checker of the tests: beartype, with an int allowed where a float is annotated (PEP 484).

jaxtyping checks the shapes of arrays as well. That takes some ten microseconds a call, of whatever function, and many
tests would do little else; so it has the functions that name arrays, and beartype alone the others, in a tenth of that.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Sequence
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

with_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
with_shapes = functools.partial(jaxtyping.jaxtyped, typechecker=with_beartype)


def install() -> None:
    """Check all that is imported of the package from here on."""
    jaxtyping.jaxtyped = lambda typechecker: checked  # what the hook decorates every class and function with
    jaxtyping.install_import_hook("rsgrpo", "tests.typechecker.with_beartype")


def checked(thing: Any) -> Any:
    """A function with checks, a dataclass whose constructor has them, or any other class as it is."""
    if not isinstance(thing, type):
        return checked_function(thing)
    if dataclasses.is_dataclass(thing) and not hasattr(thing.__init__, "is_checked"):
        thing.__init__ = checked_function(thing.__init__)
    return thing


def checked_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with checks, which are written at its first call: a process of tests calls a small part of all."""
    with_checks: Callable[..., Any] | None = None

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal with_checks
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        if with_checks is None:
            with_checks = with_shapes(function) if names_arrays(function) else with_beartype(function)
        return with_checks(*args, **kwargs)

    called.is_checked = True  # pyright: ignore[reportAttributeAccessIssue]
    return called


def names_arrays(function: Callable[..., Any]) -> bool:
    """Whether an annotation has a shape, or cannot be read: jaxtyping takes such a one for `Any`."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError:  # of an import for type checkers only
        return True
    return any(map(_is_or_holds_an_array, hints.values()))


def _is_or_holds_an_array(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    # The arguments of a Callable are a list.
    parts: Sequence[Any] = hint if isinstance(hint, list) else typing.get_args(hint)
    return any(map(_is_or_holds_an_array, parts))

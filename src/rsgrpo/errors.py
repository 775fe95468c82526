"""What is wrong with what the user asked for: one sentence that names the field or the key, and the cure."""

import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SHOWN = 120
"""Characters of a value that a message repeats."""


class UserError(Exception):
    """A mistake in what the user asked for: one clear sentence that names the field and the cure.

    The sentence has the names that Python has, `max_new_tokens=64` or `objective=Reinforce()`. `fields` says which part
    of a run each name belongs to, `max_new_tokens="sampling"`, so that the command line can show its key instead.
    """

    def __init__(self, message: str, /, **fields: str) -> None:
        super().__init__(message)
        self.fields = fields


class FieldError(ValueError):
    """A configuration field with a value that its class refuses.

    The class knows its own field, not the key under which it was configured; the command line joins the two:
    `FieldError("beta", nan, "must be finite", "try beta=2")` raised under `objective` is shown as
    `objective.beta=nan must be finite; try objective.beta=2`. `fields` are those of other parts, see `UserError`.
    """

    def __init__(self, name: str, value: object, problem: str, cure: str, /, **fields: str) -> None:
        self.name, self.value, self.problem, self.cure, self.fields = name, value, problem, cure, fields
        super().__init__(f"{name}={_shown(value)} {problem}; {cure}")


def keyed(error: FieldError, prefix: str) -> str:
    """The message of a refused field under the key that it was configured as, in the cure too.

    >>> keyed(FieldError("beta", "abc", "must be a number", "try beta=2"), "objective")
    'objective.beta=abc must be a number; try objective.beta=2'
    """
    start = f"{prefix}." if prefix else ""
    cure = re.sub(
        rf"(?<![\w.])({re.escape(error.name)}(?:\.\w+)*=|(?<=remove ){re.escape(error.name)}\b)",
        rf"{start}\1",
        error.cure,
    )
    return f"{start}{error.name}={_shown(error.value)} {error.problem}; {cure}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, then what it was raised from or after, and so on; each once, since these chains may be rings.

    >>> try:
    ...     raise OSError("disk full") from KeyError("a")
    ... except OSError as error:
    ...     [type(cause).__name__ for cause in causes(error)]
    ['OSError', 'KeyError']
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


@contextmanager
def field_errors_name_their_key(prefix: str) -> Iterator[None]:
    """Turn the `FieldError` of a class into the `UserError` of the key it was configured under."""
    try:
        yield
    except FieldError as error:
        raise UserError(keyed(error, prefix), **error.fields) from error


@contextmanager
def fields_belong_to(part: str, *names: str) -> Iterator[None]:
    """Say which part the fields refused inside belong to: the fields of these names, or all where no name is given.

    Raises:
        UserError: in place of a `FieldError`.
    """
    try:
        yield
    except FieldError as error:
        if names and error.name not in names:
            raise
        raise UserError(str(error), **{error.name: part} | error.fields) from error
    except UserError as error:
        error.fields = dict.fromkeys(names, part) | error.fields
        raise


class OwnCodeFailed(UserError):
    """A class or function of the user's own has raised an exception; the configuration is not at fault."""


OURS = "rsgrpo"
"""The package whose exceptions are bugs."""


@contextmanager
def failures_name_their_place(
    group: str, part: object, method: str, *, like: Callable[..., Any] | None = None
) -> Iterator[None]:
    """Turn whatever a class of the user's own raises into one sentence; errors of our classes pass unchanged.

    Args:
        group: the key or the field that the user knows the part by.
        part: the object or the function.
        method: what is called of it.
        like: the method that it stands for, whose arguments it has to take.

    Raises:
        OwnCodeFailed: naming class, method, exception, file and line; or both signatures when it cannot be called so.
    """
    try:
        yield
    except (UserError, FieldError):
        raise
    except (Exception, SystemExit) as error:
        named = maker_of(part)
        if is_ours(part):
            raise
        if isinstance(error, TypeError) and like is not None:
            check_signature(group, part, method, like)
        raise OwnCodeFailed(
            f"{group}: {_called(part, method)} raised {repr_of(error)}{place_of(error, named.__module__)}; correct it "
            "(RSGRPO_TRACEBACK=1 shows the traceback)"
        ) from error


def check_signature(group: str, part: object, method: str, like: Callable[..., Any]) -> None:
    """Refuse a function or method of the user's that does not take the arguments of the one that it stands for.

    Raises:
        OwnCodeFailed: naming it, its file and line, its arguments, and those that it is given.
    """
    called: Any = part if method == "__call__" else getattr(part, method)
    try:
        takes = inspect.signature(called)
    except (TypeError, ValueError):  # of a built-in one, which does not say
        return
    given = [p for p in inspect.signature(like).parameters.values() if p.name != "self" and p.kind not in _REST]
    by_name = {p.name: None for p in given if p.kind is inspect.Parameter.KEYWORD_ONLY}
    try:
        takes.bind(*[None] * (len(given) - len(by_name)), **by_name)
    except TypeError:
        words = ", ".join([p.name for p in given if p.name not in by_name] + [f"{name}=" for name in by_name])
        raise OwnCodeFailed(
            f"{group}: {_called(part, method)}{_written_at(called)} takes ({', '.join(takes.parameters)}) and is "
            f"called with ({words}); have it take those, and give any other argument a default"
        ) from None


_REST = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def is_ours(part: object) -> bool:
    """Whether a function or an object of a class is of this package."""
    return maker_of(part).__module__.partition(".")[0] == OURS


def _called(part: object, method: str) -> str:
    return maker_of(part).__name__ + ("" if method == "__call__" else f".{method}")


def _written_at(called: Any) -> str:
    """` (FILE, line N)`: where a function, a method or the `__call__` of an object is written."""
    called = getattr(called, "func", called)  # of a function with its settings filled in
    plain = inspect.isfunction(called) or inspect.ismethod(called)
    code = getattr(inspect.unwrap(called if plain else type(called).__call__), "__code__", None)
    return f" ({code.co_filename}, line {code.co_firstlineno})" if code is not None else ""


def maker_of(part: object) -> Any:
    """The function behind a part, with or without settings, or else its class: the name the user knows it by."""
    named: Any = getattr(part, "func", part)
    return named if inspect.isfunction(named) else type(named)


def place_of(error: BaseException, module: str) -> str:
    """` (FILE, line N)`: the innermost line of this module in the traceback, or else of any module.

    >>> try:
    ...     {}["key"]
    ... except KeyError as error:
    ...     place_of(error, __name__).endswith(", line 2)")
    True
    """
    frames = [(frame.f_globals.get("__name__"), frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    theirs = [found for found in frames if found[0] == module] or frames
    return f" ({theirs[-1][1].f_code.co_filename}, line {theirs[-1][2]})" if theirs else ""


def repr_of(error: BaseException) -> str:
    """An exception on one line of bounded length, whatever its own words are."""
    try:
        said = repr(error)
    except Exception:
        said = type(error).__name__
    said = said if said.isprintable() else repr(said)[1:-1]
    return said if len(said) <= LONGEST_REPR else f"{said[:LONGEST_REPR]}..."


LONGEST_REPR = 300
"""Characters of an exception in a sentence for the user."""


def _shown(value: object) -> str:
    """A value as a message repeats it: on one line, and not longer than a line or two."""
    text = str(value)
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

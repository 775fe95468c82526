"""Configurations that check themselves: a class refuses a value it cannot use, naming the field and a value to try.

`check_fields` holds a dataclass to its own annotations. Bounds, and relations between fields, which annotations cannot
express, are up to the class.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, field, fields
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from jaxtyping import AbstractArray
from torch import Tensor

from rsgrpo.errors import OURS, FieldError

LARGEST = 2**63 - 1
"""The largest whole number that a tensor holds."""

LARGEST_FLOAT = 3.4e38
"""The largest number of 32 bits."""


def example(value: Any) -> Any:
    """A field without a default, and a value that a message may propose for it."""
    return field(metadata={"example": value})


def check_fields(record: Any, **bounds: tuple[float, float]) -> None:
    """Refuse a field whose value is not of its annotated type, or lies outside `bounds[name] = (low, high)`.

    Called from the `__post_init__` of every class that Hydra builds, so that a wrong value is refused by the class
    that would use it. Checks numbers, booleans, text, `Literal`, sequences and mappings of them, unions of them, and
    classes; anything else is accepted. Floats must be finite, whole numbers fit into 64 bits. Bounds are inclusive.

    Raises:
        FieldError: naming the field, the value and what would be right.
    """
    check_values(type(record), {s.name: getattr(record, s.name) for s in fields(record) if s.init}, **bounds)


def check_values(cls: type, values: Mapping[str, Any], **bounds: tuple[float, float]) -> None:
    """`check_fields` of the named fields alone, before there is an object.

    Raises:
        FieldError: naming the field, the value and what would be right.
    """
    for spec in (spec for spec in fields(cls) if spec.init and spec.name in values):
        _check(spec, values[spec.name], bounds.get(spec.name))


def check_arguments(cls: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Refuse an argument that is not of the type that the signature of `cls` names for it; unknown names are ignored.

    Raises:
        FieldError: naming the argument, its value and what would be right.
    """
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in values and parameter.annotation is not inspect.Parameter.empty and parameter.kind not in _REST:
            default = MISSING if parameter.default is inspect.Parameter.empty else parameter.default
            _check(_Argument(name=name, type=parameter.annotation, default=default), values[name], None)


class _Argument(NamedTuple):
    """An argument of a function, with the attributes of a dataclass field that the checks need."""

    name: str
    type: Any
    default: Any
    default_factory: Any = MISSING
    metadata: Mapping[str, Any] = MappingProxyType({})


_Spec = Field[Any] | _Argument

_REST = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def check_at_least_one(**values: object) -> None:
    """Refuse the first of `values` that is not a whole number of at least 1.

    Raises:
        FieldError: naming it.
    """
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
            raise FieldError(name, value, "must be a whole number of at least 1", f"try {name}=1")


def check_numbers(name: str, values: object, count: int, span: str, *, example: Sequence[float]) -> None:
    """Refuse `values` that are not a list of `count` numbers in the unit interval `span`: "[0, 1]", "[0, 1)", "(0, 1]".

    Raises:
        FieldError: naming the field.
    """
    numbers = list(values) if isinstance(values, Sequence) else []
    ends = {end for end, open_end in ((0, span.startswith("(")), (1, span.endswith(")"))) if open_end}
    right = [isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= 1 and v not in ends for v in numbers]
    if len(numbers) != count or not all(right):
        raise FieldError(name, values, f"must list {count} numbers in {span}", f"try {name}={as_typed(list(example))}")


def as_typed(value: object) -> str:
    """A value as the command line takes it, without a space that a shell would split at.

    >>> as_typed(None), as_typed(True), as_typed((1, 0.5)), as_typed({"a": "b"})
    ('null', 'true', '[1,0.5]', '{a:b}')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{as_typed(item)}' for key, item in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(as_typed, value))}]"
    return str(value) or '""'


def _check(spec: _Spec, value: Any, bounds: tuple[float, float] | None) -> None:
    options = _options(spec.type)
    _check_items(spec, value, options)
    words = [word for option in options if get_origin(option) is Literal for word in get_args(option)]
    if not any(_fits(value, option) for option in options):
        if words:
            raise FieldError(spec.name, value, "is unknown", f"choose one of {', '.join(map(str, words))}")
        whole = next((meaning for option in options if (meaning := _meaning(option))), "")
        problem = f"must be {whole}" if whole else "cannot be used here"
        if _is_infinite(value) and whole == "a number":
            problem = "must be a finite number"
        alone = isinstance(value, str) and any(_fits([value], option) for option in options)
        listed = f"try {spec.name}={as_typed([value])}" if alone else ""
        raise FieldError(spec.name, value, problem, _cure_of_kind(value, options) or listed or _cure(spec))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    low, high = bounds or (-math.inf, math.inf)
    most = LARGEST if isinstance(value, int) else LARGEST_FLOAT
    low, high = max(low, -most), min(high, most)
    if not low <= value <= high:
        open_end = f"at least {_plain(low)}" if value < low else f"at most {_plain(high)}"
        span = open_end if most in (-low, high) else f"between {_plain(low)} and {_plain(high)}"
        raise FieldError(
            spec.name, value, f"must be {span}", _cure(spec, low, high, nearest=low if value < low else high)
        )


def _plain(bound: float) -> str:
    """1048576, not 1.04858e+06; 1e+30."""
    return f"{bound:.0f}" if float(bound).is_integer() and abs(bound) < 1e15 else f"{bound:g}"


def _check_items(spec: _Spec, value: Any, options: Sequence[Any]) -> None:
    """Refuse a value inside a mapping, under its name there."""
    kinds = [get_args(o)[1] for o in options if isinstance(get_origin(o), type) and issubclass(get_origin(o), Mapping)]
    for name, item in value.items() if kinds and isinstance(value, Mapping) else ():
        if not _fits(item, kinds[0]):
            raise FieldError(f"{spec.name}.{name}", item, f"must be {_meaning(kinds[0])}", "leave it out")


def _cure_of_kind(value: Any, options: Sequence[Any]) -> str:
    """What to give where an object of a class is needed; "" where something else would do."""
    kinds = [option for option in options if isinstance(option, type) and option.__module__.partition(".")[0] == OURS]
    if not kinds:
        return ""
    (kind, *_), name = kinds, f"{kinds[0].__module__}.{kinds[0].__qualname__}"
    if isinstance(value, type):
        return f"give an object of a class: {value.__name__}(...)"
    if getattr(kind, "_is_protocol", False):
        return f"give an object with all that {name} has"
    return f"give an object of a class that inherits {name}" if inspect.isabstract(kind) else f"give a {name}"


def _cure(spec: _Spec, low: float = -math.inf, high: float = math.inf, nearest: float | None = None) -> str:
    """A value to try: the nearest whole number, or for any other field its default."""
    usual = _usual(spec)
    if nearest is not None and int in _options(spec.type) and abs(nearest) != LARGEST:
        return f"try {spec.name}={int(nearest)}"
    if nearest is not None and not (isinstance(usual, int | float) and low <= usual <= high):
        return f"try {spec.name}={nearest:g}"
    return "leave it out" if usual is MISSING else f"try {spec.name}={as_typed(usual)}"


def _usual(spec: _Spec) -> Any:
    """A value that the field accepts: its example, its default, or a small number."""
    if "example" in spec.metadata:
        return spec.metadata["example"]
    if spec.default is not MISSING and (spec.default is not None or not _is_number(spec)):
        return spec.default
    if spec.default_factory is not MISSING:
        return spec.default_factory()
    return 1 if _is_number(spec) else MISSING


def _is_number(spec: _Spec) -> bool:
    return bool({int, float} & set(_options(spec.type)))


@cache
def _options(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation itself; shaped tensors as `Tensor`."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(Tensor if isinstance(m, type) and issubclass(m, AbstractArray) else m for m in members)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of an annotated type."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in _options(annotation))
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in inner)
    if annotation in (int, float):
        numbers = int if annotation is int else int | float
        return isinstance(value, numbers) and not isinstance(value, bool) and not _is_infinite(value)
    if annotation is None:
        return value is None
    if origin is Callable or annotation is Any:
        return annotation is Any or callable(value)
    return _fits_class(value, origin or annotation, inner)


def _fits_class(value: Any, cls: Any, inner: tuple[Any, ...]) -> bool:
    """Whether a value is an object of a class, a list or a mapping of what it should hold."""
    try:
        if not isinstance(value, cls) or (cls is Sequence and isinstance(value, str)):
            return False
        is_class: bool = isinstance(value, type)
        if is_class and cls not in (type, object):  # which has the methods of its objects
            return False
    except TypeError:  # a protocol that cannot be asked
        return True
    if issubclass(cls, Mapping) and inner:
        return all(_fits(key, inner[0]) and _fits(item, inner[1]) for key, item in value.items())
    return not inner or not issubclass(cls, Sequence) or all(_fits(item, inner[0]) for item in value)


def number_of(name: str, value: Any) -> float:
    """The number that a user's reward gave, as a float; text is not a number, even where Python could convert it."""
    if not isinstance(value, str | bytes):
        try:
            return float(value.detach() if isinstance(value, Tensor) else value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            pass
    raise FieldError(name, repr(value), "must be a number", f"try {name}=1.0")


def truth_of(value: Any) -> bool:
    """Whether a user's reward says that an answer is correct: `"False"`, NaN and .5 are refused."""
    if isinstance(value, bool):
        return value
    with suppress(FieldError):
        if (number := number_of("correct", value)) in (0.0, 1.0):
            return number == 1.0
    raise FieldError("correct", repr(value), "must be true or false", "try correct=True")


def is_whole_number(annotation: Any) -> bool:
    """Whether an annotated type takes whole numbers and no others, alone or in a tensor."""
    options = _options(annotation)
    return int in options and float not in options


def _is_infinite(value: Any) -> bool:
    """Whether a number is infinite, not a number, or an integer too large for a float."""
    try:
        return isinstance(value, int | float) and not math.isfinite(value)
    except OverflowError:
        return True


def _meaning(annotation: Any, *, plural: bool = False) -> str:
    """What an annotated type is called in a message; "" for a type that a user does not write."""
    plain = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    several = {float: "numbers", int: "whole numbers", bool: "true or false", str: "texts"}
    if annotation in plain:
        return (several if plural else plain)[annotation]
    if annotation is Any:
        return "values" if plural else "a value"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return f"{'mappings' if plural else 'a mapping'} of names to {_meaning(inner[1], plural=True)}"
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return f"{'lists' if plural else 'a list'} of {_meaning(inner[0], plural=True)}"
    if annotation in (None, type(None), Tensor) or not isinstance(annotation, type):
        return ""
    article = "an" if annotation.__name__[0] in "AEIOU" else "a"
    return f"{annotation.__name__}s" if plural else f"{article} {annotation.__name__}"

"""What a figure shows, before anyone draws it: panels of lines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One run, thin behind the line of its arm."""

    folder: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One arm: a mean, with a band if it has an interval, and the runs that it is the mean of."""

    arm: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    """Of the band, nan where there is none; empty without a band."""
    high: Sequence[float] = ()
    over: str = ""
    """What the band is an interval over: `6 runs`, `255 problems`."""
    traces: Sequence[Trace] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines that share their axes."""

    title: str
    """Empty where the panel is the only one and shows what the figure says."""
    x: str
    y: str
    lines: Sequence[Line]
    log2: bool = False
    """Whether the x axis doubles from tick to tick."""


def plain(value: Any) -> Any:
    """Records, arrays and mappings as what JSON has; a number that is not finite is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

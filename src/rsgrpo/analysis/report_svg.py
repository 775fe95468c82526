"""A panel as inline SVG: its colours follow the page, and every point says its value when it is pointed at."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rsgrpo.analysis.compare_table import number
from rsgrpo.analysis.report_figures import short_number, ticks_of_k

Record = Mapping[str, Any]
Point = tuple[float, float]

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 26, 38
"""Margins."""

MARKED = 15
"""Points of a line, at most, that are drawn as dots; of longer lines they are only there to be pointed at."""


def panel_svg(panel: Record, dress: Mapping[str, tuple[str, str]]) -> str:
    """The panel, as wide as its place on the page."""
    x_of, x_ticks = _x_axis(panel)
    y_of, y_ticks = _y_axis(panel)
    title = escape(panel["title"] or panel["y"])
    parts = [
        f'<svg class="panel" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f'<text class="title" x="{LEFT}" y="15">{title}</text>',
    ]
    for value, label in y_ticks:
        y = y_of(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{label}</text>')
    for value, label in x_ticks:
        x = x_of(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{label}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(panel["x"])}</text>')
    for draw in (_band, _thin, _thick):
        for line in panel["lines"]:
            colour, dashes = dress[line["arm"]]
            parts += draw(line, colour, dashes, x_of, y_of)
    for line in panel["lines"]:
        parts += _points(line, panel["x"], dress[line["arm"]][0], x_of, y_of)
    return "".join([*parts, "</svg>"])


def _x_axis(panel: Record) -> tuple[Any, list[tuple[float, str]]]:
    values = [x for line in panel["lines"] for series in (line, *line["traces"]) for x in series["x"]]
    if panel["log2"]:
        low, high = (math.log2(end(values)) for end in (min, max))
        ticks = [(float(k), f"{k:,}") for k in ticks_of_k(values)]
        return lambda x: _scaled(math.log2(x), low, high, LEFT, WIDTH - RIGHT), ticks
    low, high = min(values), max(values)
    ticks = [(tick, short_number(tick)) for tick in nice_ticks(low, high, 5)]
    return lambda x: _scaled(x, low, high, LEFT, WIDTH - RIGHT), ticks


def _y_axis(panel: Record) -> tuple[Any, list[tuple[float, str]]]:
    shown = [series for line in panel["lines"] for series in (line["y"], line["low"], line["high"])]
    shown += [trace["y"] for line in panel["lines"] for trace in line["traces"]]
    values = [value for series in shown for value in series if value is not None]
    low, high = min(values), max(values)
    spare = 0.04 * (high - low) or 0.05 * max(abs(high), 1e-9)
    low, high = low - spare, high + spare
    ticks = nice_ticks(low, high, 6)
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)) if len(ticks) > 1 else 2
    return lambda y: _scaled(y, low, high, HEIGHT - BOTTOM, TOP), [(tick, f"{tick:.{digits}f}") for tick in ticks]


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two ends, as many as fit below `most` + 1.

    >>> nice_ticks(0, 60, 5), nice_ticks(0.03, 0.21, 5)
    ([0.0, 20.0, 40.0, 60.0], [0.05, 0.1, 0.15, 0.2])
    """
    if high <= low:
        return [low]
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(m * size for m in (1, 2, 5, 10, 20) if (high - low) / (m * size) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _scaled(value: float, low: float, high: float, start: float, end: float) -> float:
    return (start + end) / 2 if high <= low else start + (value - low) / (high - low) * (end - start)


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _band(line: Record, colour: str, dashes: str, x_of: Any, y_of: Any) -> list[str]:
    """The band of an arm, in pieces where some of its points have none."""
    pieces: list[list[tuple[float, float, float]]] = [[]]
    for x, low, high in zip(line["x"], line["low"] or [None] * len(line["x"]), line["high"] or line["x"], strict=True):
        if low is None or high is None:
            pieces.append([])
        else:
            pieces[-1].append((x_of(x), y_of(low), y_of(high)))
    around = [
        [(x, high) for x, _, high in piece] + [(x, low) for x, low, _ in piece[::-1]] for piece in pieces if piece
    ]
    return [f'<path d="{_path(points)}Z" fill="{colour}" opacity=".14"/>' for points in around]


def _thin(line: Record, colour: str, dashes: str, x_of: Any, y_of: Any) -> list[str]:
    paths = [_path([(x_of(x), y_of(y)) for x, y in zip(t["x"], t["y"], strict=True)]) for t in line["traces"]]
    return [f'<path d="{path}" class="thin" fill="none" stroke="{colour}"/>' for path in paths]


def _thick(line: Record, colour: str, dashes: str, x_of: Any, y_of: Any) -> list[str]:
    path = _path([(x_of(x), y_of(y)) for x, y in zip(line["x"], line["y"], strict=True)])
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashed}/>']


def _points(line: Record, x_name: str, colour: str, x_of: Any, y_of: Any) -> list[str]:
    """Dots, or on long lines what is only felt by a pointer, each with its value."""
    kind = "dot" if len(line["x"]) <= MARKED else "dot far"
    found = []
    for i, (x, y) in enumerate(zip(line["x"], line["y"], strict=True)):
        band = ""
        if line["low"] and line["low"][i] is not None:
            band = f" [{number(line['low'][i])}, {number(line['high'][i])}]"
        said = f"{line['arm']}, {x_name} {short_number(round(x, 2))}: {number(y)}{band}"
        place = f'cx="{x_of(x):.1f}" cy="{y_of(y):.1f}"'
        found.append(f'<circle class="{kind}" {place} r="3" fill="{colour}"><title>{escape(said)}</title></circle>')
    return found

"""The figures of a report as PNG and SVG files, for papers and slides; the page draws the same panels itself."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsgrpo.analysis.figures import panels, save
from rsgrpo.analysis.report_colours import arms_of, colours
from rsgrpo.analysis.report_tables import by_placebo
from rsgrpo.comparison.compare import BASE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]

COLUMNS = 3

MATRICES = 4
"""In a row."""

OF_THE_SPLIT = ("curves", "answers", "temperatures")
"""Figures of the evaluation that is compared."""


def draw_figures(content: Record, folder: Path) -> list[Path]:
    """Every figure that the report has data for, in `figures/`."""
    drawn = []
    for name, title in (
        ("curves", "pass@k"),
        ("answers", "Distinct answers among k samples"),
        ("temperatures", "Sampling temperatures"),
        ("training", "Over training"),
        ("costs", "Learning against its cost"),
    ):
        if content[name]:
            drawn.append(_lines(content, content[name], folder, name, title))
    if content["transitions"]:
        drawn.append(_matrices(content["transitions"], folder))
    if content["support"]:
        drawn.append(_support(content["support"], folder))
    return drawn


def _lines(content: Record, drawn: Sequence[Record], folder: Path, name: str, title: str) -> Path:
    """Panels side by side under one legend; one more place is left for it where the last row is not full."""
    arms = arms_of(content, name)
    dress = colours(arms, BASE)
    columns = min(COLUMNS, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure, axes = panels(rows, columns, max(7.0, 3.9 * columns + 0.3), (4.0 if len(drawn) == 1 else 3.0) * rows + 0.7)
    figure.set_layout_engine("constrained", w_pad=0.12)
    for place, panel in zip(axes.flat, drawn, strict=False):
        _panel(place, panel, dress)
    for place in axes.flat[len(drawn) :]:
        place.set_axis_off()
    shown: dict[str, Any] = {}
    for place in axes.flat:
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True):
            shown.setdefault(label, handle)
    in_order = [arm for arm in dress if arm in shown]
    figure.legend(
        [shown[arm] for arm in in_order],
        in_order,
        loc="outside upper center",
        ncols=min(len(in_order), 4),
        frameon=False,
        fontsize=9,
        title=_title(content, name, title),
    )
    return save(figure, folder, name)


def _title(content: Record, name: str, title: str) -> str:
    if name not in OF_THE_SPLIT:
        return title
    at = f", temperature {content['temperature']:g}" if content["temperature"] and name != "temperatures" else ""
    return f"{title}, {content['comparison']['split']} split{at}"


def _panel(place: "Axes", panel: Record, dress: Mapping[str, tuple[str, str]]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    for line in panel["lines"]:
        colour, dashes = dress[line["arm"]]
        style: Any = "-" if not dashes else (0, [float(part) / 2 for part in dashes.split()])
        for trace in line["traces"]:
            place.plot(trace["x"], trace["y"], color=colour, linewidth=0.6, alpha=0.35)
        marker = "o" if len(line["x"]) <= 15 else ""
        place.plot(
            line["x"], line["y"], color=colour, linestyle=style, linewidth=1.7, marker=marker, markersize=3,
            label=line["arm"],
        )  # fmt: skip
        if line["low"]:
            low, high = ([math.nan if v is None else v for v in line[end]] for end in ("low", "high"))
            place.fill_between(line["x"], low, high, color=colour, alpha=0.13, linewidth=0)
    if panel["log2"]:
        ticks = ticks_of_k([x for line in panel["lines"] for x in line["x"]])
        place.set_xscale("log", base=2)
        place.xaxis.set_major_locator(FixedLocator(ticks))
        place.xaxis.set_minor_locator(NullLocator())
        place.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))
    else:
        place.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short_number(x)))
        place.xaxis.set_major_locator(MaxNLocator(5))
    place.set_title(panel["title"], fontsize=10)
    place.set_xlabel(panel["x"], fontsize=9)
    place.set_ylabel("" if panel["y"] == panel["title"] else panel["y"], fontsize=9)
    place.tick_params(labelsize=8)
    place.grid(alpha=0.25)
    place.spines[["top", "right"]].set_visible(False)


def ticks_of_k(ks: Sequence[float]) -> list[int]:
    """The powers of two among the ks, every other one where they are many.

    >>> ticks_of_k([1, 2, 4, 8, 12])
    [1, 2, 4, 8]
    """
    powers = sorted({int(k) for k in ks if k >= 1 and math.log2(k).is_integer()})
    return powers if len(powers) <= 7 else powers[:: math.ceil(len(powers) / 7)]


def short_number(value: float) -> str:
    """1,500 as 1.5k, 2,000,000 as 2M.

    >>> short_number(1500), short_number(2e6), short_number(60), short_number(0.25)
    ('1.5k', '2M', '60', '0.25')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _matrices(transitions: Sequence[Record], folder: Path) -> Path:
    """A row for each first policy: its placebo, then the transitions from it, in further rows where they are many."""
    top = max(share for change in transitions for line in change["matrix"] for share in line)
    lines: list[list[tuple[Record, str]]] = []
    for first, changes in by_placebo(transitions):
        own = [(first, "placebo"), *((change, "matrix") for change in changes)]
        lines += [own[i : i + MATRICES] for i in range(0, len(own), MATRICES)]
    columns = max(map(len, lines))
    figure, axes = panels(len(lines), columns, 4.2 * columns, 3.9 * len(lines))
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.1)
    for row, line in zip(axes, lines, strict=True):
        for place in row[len(line) :]:
            place.set_axis_off()
        for place, (change, kind) in zip(row, line, strict=False):
            first, second = change["first"], change["second"]
            named = (f"{first} to {second}", second) if kind == "matrix" else ("placebo", f"{first}, other samples")
            _matrix(place, change, kind, *named, top)
    return save(figure, folder, "transitions")


def _matrix(place: "Axes", change: Record, kind: str, title: str, second: str, top: float) -> None:
    """Shares of less than .05 % are left blank; `top` is the darkest, the same in all of a figure."""
    place.imshow(change[kind], cmap="Blues", vmin=0, vmax=top)
    for i, line in enumerate(change[kind]):
        for j, share in enumerate(line):
            if share >= 0.0005:
                colour = "white" if share > 0.6 * top else "0.15"
                place.text(j, i, f"{100 * share:.1f}", ha="center", va="center", fontsize=8, color=colour)
    ticks = range(len(change["bins"]))
    place.set_xticks(ticks, change["bins"], fontsize=8)
    place.set_yticks(ticks, change["bins"], fontsize=8)
    place.set_xlabel(f"accuracy: {second}", fontsize=9)
    place.set_ylabel(f"accuracy: {change['first']}", fontsize=9)
    place.set_title(f"{title}, % of problems, {change['m']} samples", fontsize=9)
    place.spines[:].set_visible(False)


def _support(changes: Sequence[Record], folder: Path) -> Path:
    """Problems gained and lost, with the placebo's as an outline."""
    from matplotlib.ticker import FuncFormatter

    shown = [change for change in changes if change["benchmark"] in ("", "all")] or list(changes)
    figure, axes = panels(1, 1, 7.5, 0.55 * len(shown) + 1.3)
    place = axes[0, 0]
    for i, change in enumerate(shown):
        for kind, sign, colour in (("gained", 1, "#159a6c"), ("lost", -1, "#c0392b")):
            label = kind if i == 0 else None
            place.barh(i, sign * change["counts"][kind], color=colour, alpha=0.75, height=0.6, label=label)
            chance = sign * change["placebo_counts"][kind]
            label = "placebo" if i == 0 and sign < 0 else None
            place.barh(i, chance, color="none", edgecolor="0.2", linewidth=1.2, height=0.6, label=label)
    names = [f"{change['first']} to {change['second']}" for change in shown]
    place.set_yticks(range(len(shown)), names, fontsize=9)
    place.invert_yaxis()
    place.axvline(0, color="0.4", linewidth=0.8)
    k, problems = shown[0]["k"], shown[0]["problems"]
    place.set_xlabel(f"problems of {problems:,} lost (left) and gained (right) at k = {k}", fontsize=9)
    place.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{abs(x):g}"))
    place.tick_params(axis="x", labelsize=8)
    place.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    place.spines[["top", "right"]].set_visible(False)
    return save(figure, folder, "support")

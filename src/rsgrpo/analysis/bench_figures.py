"""The figures of a bench: pass@1 against pass@k with intervals, differences in AUC, and performance profiles."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rsgrpo.analysis.figures import dress, panels, save
from rsgrpo.analysis.report_colours import GREY, colours
from rsgrpo.bench.standings import BASE, Board, Leaderboard

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^v<>ph*X"


def draw_bench(found: Leaderboard, folder: Path) -> list[Path]:
    """`front.png` and `differences.png`, and `profiles.png` with several tasks; each as SVG too."""
    drawn = [draw_front(found, folder), _draw_differences(found, folder)]
    return [*drawn, _draw_profiles(found, folder)] if found.overall else drawn


def draw_front(found: Leaderboard, folder: Path) -> Path:
    """pass@1 against pass@k, a panel for each task, an arm as a cross of its intervals."""
    figure, axes = panels(1, len(found.boards), 5.4 * len(found.boards), 4.2)
    dressed = _dressed(found)
    for place, board in zip(axes[0], found.boards, strict=True):
        _front(place, board, found, dressed)
    handles = {
        label: handle for place in axes[0] for handle, label in zip(*place.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=8, frameon=False)
    return save(figure, folder, "front")


def _front(axes: "Axes", board: Board, found: Leaderboard, dressed: dict[str, tuple[str, str]]) -> None:
    one, many = "pass@1", f"pass@{found.k}"
    for standing in board.standings:
        x, y = standing.entries[one].mean, standing.entries[many].mean
        colour, marker = dressed[standing.arm]
        axes.errorbar(
            [x.estimate],
            [y.estimate],
            xerr=[[_length(x.estimate, x.low)], [_length(x.high, x.estimate)]],
            yerr=[[_length(y.estimate, y.low)], [_length(y.high, y.estimate)]],
            color=colour,
            marker=marker,
            markersize=6,
            linewidth=0.7,
            linestyle="",
            markeredgecolor="black" if standing.on_front else colour,
            label=standing.arm,
        )
    dress(axes, board.task, f"{one} (black rim: on the front)", many)
    lows = [min(s.entries[many].mean.estimate, _or(s.entries[many].mean.low, 1.0)) for s in board.standings]
    axes.set_ylim(bottom=max(0.0, min(lows) - 0.03))


def _length(high: float, low: float) -> float:
    return 0.0 if math.isnan(high - low) else high - low


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


def _dressed(found: Leaderboard) -> dict[str, tuple[str, str]]:
    """(colour, marker) of each arm."""
    arms = list(
        dict.fromkeys(standing.arm for board in found.boards for standing in sorted(board.standings, key=_name))
    )
    shade = colours([arm for arm in arms if not arm.startswith(BASE)], BASE)
    return {arm: (shade.get(arm, (GREY, ""))[0], MARKERS[i % len(MARKERS)]) for i, arm in enumerate(arms)}


def _name(standing: object) -> str:
    return str(getattr(standing, "arm", ""))


def _draw_differences(found: Leaderboard, folder: Path) -> Path:
    """The paired difference of each arm to the baseline in the first score, with its interval."""
    most = max(len(board.standings) for board in found.boards)
    figure, axes = panels(1, len(found.boards), 5.0 * len(found.boards), 1.2 + 0.32 * most)
    dressed, name = _dressed(found), f"auc@{found.k}"
    for place, board in zip(axes[0], found.boards, strict=True):
        rows = [s for s in reversed(board.standings) if s.entries[name].difference is not None]
        for y, standing in enumerate(rows):
            entry, colour = standing.entries[name], dressed[standing.arm][0]
            one = entry.difference
            assert one is not None
            errors = [[_length(one.estimate, one.low)], [_length(one.high, one.estimate)]]
            filled = colour if entry.decided(found.level) else "white"
            place.errorbar(
                [one.estimate], [y], xerr=errors, color=colour, marker="o", markerfacecolor=filled, capsize=3
            )
        dress(place, board.task, f"{name} minus {found.baseline} (filled: beyond noise)", "")
        place.set_yticks(range(len(rows)), [standing.arm for standing in rows])
        place.locator_params(axis="x", nbins=5)
        place.axvline(0, color="0.4", linewidth=0.8)
    return save(figure, folder, "differences")


def _draw_profiles(found: Leaderboard, folder: Path) -> Path:
    """The share of runs above each normalised score, over all tasks."""
    figure, axes = panels(1, 1, 6.0, 4.0)
    dressed = _dressed(found)
    for one in found.overall:
        axes[0][0].step(found.thresholds, one.profile, color=dressed[one.arm][0], label=one.arm, where="post")
    dress(axes[0][0], "all tasks", f"(auc@{found.k} - base) / (1 - base)", "share of runs above")
    axes[0][0].legend(fontsize=8, frameon=False)
    return save(figure, folder, "profiles")

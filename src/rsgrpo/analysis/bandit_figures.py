"""The figures of a bandit, PNG and SVG, and an animation, made from its run folder alone."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsgrpo import run_folder
from rsgrpo.analysis.bandit_table import escaped
from rsgrpo.analysis.figures import dress, panels, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SNAPSHOTS = (0.05, 0.15, 1.0)
"""Moments of Fig. 1: early, middle, late, as shares of the run."""

RISKY = 8.0
"""The beta of Fig. 1 beside 0, if it was played; otherwise the last value."""

FRAMES = 48
"""Frames of the animation."""

PANELS = 4
"""Values that the animation shows."""


def draw_bandit(run: Path) -> list[Path]:
    """All figures that the run has the data for; returns the files."""
    content = run_folder.read_json(run / run_folder.BANDIT)
    if len(content["played"]) > 1:
        return [save(_objectives(content), run, "objectives")]
    lines = content["played"][0]["runs"]
    files = [
        save(_figure_1(content), run, "figure_1"),
        save(_figure_3(content), run, "figure_3"),
        save(_entropy(content), run, "entropy"),
    ]
    if "flow" in lines[0]:
        files.append(save(_flow(content), run, "flow"))
    if len(lines) > 1:
        files.append(save(_escape(content), run, "escape"))
    return [*files, _animation(content, run)]


def _label(run: dict[str, Any], played: dict[str, Any]) -> str:
    return played["name"] if run["value"] is None else f"{_symbol(played)} = {run['value']:g}"


def _symbol(played: dict[str, Any]) -> str:
    """What the values are of."""
    return "β" if played["field"] == "beta" else str(played["field"])


def _thousands(value: float, position: int | None = None) -> str:
    """A tick: 50000 -> 50k."""
    return f"{value / 1000:g}k" if value else "0"


def _colours(count: int) -> Sequence[Any]:
    import matplotlib

    return [matplotlib.colormaps["viridis"](i / max(1, count - 0.5)) for i in range(count)]


def _landscape(axes: "Axes", content: dict[str, Any]) -> "Axes":
    """Grey steps of reward; returns the twin axis for policies."""
    reward = content["landscape"]["reward"]
    axes.fill_between(range(len(reward)), reward, step="mid", color="0.8", linewidth=0)  # one shape, not a bar per arm
    axes.set_ylim(0, 1.15 * max(reward))
    axes.set_xlim(-0.5, len(reward) - 0.5)
    axes.spines[["top"]].set_visible(False)
    twin = axes.twinx()
    twin.spines[["top"]].set_visible(False)
    return twin


def _policy(axes: "Axes", policy: Sequence[float], colour: Any, top: float) -> None:
    axes.fill_between(range(len(policy)), policy, step="mid", color=colour, alpha=0.35, linewidth=0)
    axes.plot(range(len(policy)), policy, drawstyle="steps-mid", color=colour, linewidth=1.2)
    axes.set_ylim(0, top)


def _figure_1(content: dict[str, Any]) -> "Figure":
    """The landscape with the first policy, and the policies of the first value and of a risky one at three moments."""
    played = content["played"][0]
    risky = next((run for run in played["runs"] if run["value"] == RISKY), played["runs"][-1])
    shown = [risky] if len(played["runs"]) == 1 else [played["runs"][0], risky]
    figure, axes = panels(len(shown), 1 + len(SNAPSHOTS), 14, 2.9 * len(shown))
    last = len(played["pulls"]) - 1
    for row, run in zip(axes, shown, strict=True):
        twin = _landscape(row[0], content)
        _policy(twin, content["landscape"]["policy"], "tab:blue", 0.2)
        row[0].set_title("rewards (grey) and first policy", fontsize=10)
        row[0].set_ylabel(_label(run, played) + "\n\nreward")
        for axis, share in zip(row[1:], SNAPSHOTS, strict=True):
            moment = min(last, round(share * last))
            twin = _landscape(axis, content)
            policy = run["policies"][moment]
            _policy(twin, policy, "tab:red" if run is shown[-1] else "tab:blue", max(0.2, 1.1 * max(policy)))
            axis.set_title(f"after {played['pulls'][moment]:,} pulls", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("arm")
    figure.suptitle("Policies on the landscape (Fig. 1 of the paper), first seed", fontsize=11)
    return figure


def _curves(axes: "Axes", content: dict[str, Any], key: str) -> None:
    """The median over the seeds of every value, with a band from the 10th to the 90th percentile."""
    played = content["played"][0]
    for run, colour in zip(played["runs"], _colours(len(played["runs"])), strict=True):
        low, median, high = run[key]
        axes.plot(played["pulls"], median, color=colour, label=_label(run, played))
        if content["seeds"] > 1:
            axes.fill_between(played["pulls"], low, high, color=colour, alpha=0.15, linewidth=0)


def _figure_3(content: dict[str, Any]) -> "Figure":
    figure, axes = panels(1, 2, 12, 4)
    twin = _landscape(axes[0, 0], content)
    _policy(twin, content["landscape"]["policy"], "tab:blue", 0.2)
    axes[0, 0].set_title("rewards (grey) and first policy", fontsize=10)
    axes[0, 0].set_xlabel("arm")
    axes[0, 0].set_ylabel("reward")
    twin.set_ylabel("probability")
    _curves(axes[0, 1], content, "reward")
    dress(axes[0, 1], f"mean reward over {content['window']:,} pulls", "pulls", "")
    axes[0, 1].legend(frameon=False, fontsize=8, loc="lower right")
    axes[0, 1].xaxis.set_major_formatter(_thousands)
    bands = f", median and 10-90% of {content['seeds']} seeds" if content["seeds"] > 1 else ""
    figure.suptitle(f"The bandit of the paper (Fig. 3){bands}", fontsize=11)
    return figure


def _flow(content: dict[str, Any]) -> "Figure":
    """The accuracy as it was played, and as the expected gradient has it."""
    figure, axes = panels(1, 1, 7, 4.2)
    axis, played = axes[0, 0], content["played"][0]
    _curves(axis, content, "reward")
    for i, (run, colour) in enumerate(zip(played["runs"], _colours(len(played["runs"])), strict=True)):
        flow = "flow of the expected gradient" if i == 0 else None
        axis.plot(played["pulls"], run["flow"], color=colour, linestyle="--", linewidth=1.2, label=flow)
    dress(axis, f"accuracy over {content['window']:,} pulls", "pulls", "")
    axis.xaxis.set_major_formatter(_thousands)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    bands = f"median and 10-90% of {content['seeds']} seeds" if content["seeds"] > 1 else "one seed"
    figure.suptitle(f"A right arm and a wrong one: {bands}", fontsize=11)
    return figure


def _entropy(content: dict[str, Any]) -> "Figure":
    figure, axes = panels(1, 1, 6, 4)
    _curves(axes[0, 0], content, "entropy")
    dress(axes[0, 0], "entropy of the policy", "pulls", "nats")
    axes[0, 0].xaxis.set_major_formatter(_thousands)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _escape(content: dict[str, Any]) -> "Figure":
    """Share of the seeds that escaped, and how long it took, by value."""
    figure, axes = panels(1, 2, 10, 3.8)
    runs, threshold = content["played"][0]["runs"], f"{content['escaped_above']:g}"
    places = range(len(runs))
    axes[0, 0].bar(places, [len(escaped(run, content)) / len(run["final_reward"]) for run in runs], color="0.5")
    axes[0, 0].set_ylim(0, 1.05)
    for place, run in zip(places, runs, strict=True):
        times = [at for at in run["crossings"][threshold] if at is not None]
        axes[0, 1].plot([place] * len(times), times, "o", color="0.5", alpha=0.4, markersize=3)
        if times:
            axes[0, 1].plot(place, statistics.median(times), "_", color="black", markersize=16)
        else:
            axes[0, 1].text(place, 0.02, "never", ha="center", transform=axes[0, 1].get_xaxis_transform(), fontsize=8)
    dress(axes[0, 0], f"share of {content['seeds']} seeds that escaped", _symbol(content["played"][0]), "")
    dress(axes[0, 1], f"pulls until the moving average reaches {threshold}", _symbol(content["played"][0]), "")
    axes[0, 1].set_ylim(bottom=0)
    axes[0, 1].yaxis.set_major_formatter(_thousands)
    for axis in axes[0]:
        axis.set_xlim(-0.6, len(runs) - 0.4)
        axis.set_xticks(list(places), [f"{run['value']:g}" for run in runs])
    return figure


def _objectives(content: dict[str, Any]) -> "Figure":
    """Median reward of every objective over the pulls, and the share of seeds that escaped."""
    import matplotlib

    figure, axes = panels(1, 1, 10, 5.5)
    lines = [(played, run) for played in content["played"] for run in played["runs"]]
    lines.sort(key=lambda line: -line[1]["reward"][1][-1])
    colours = matplotlib.colormaps["tab20"]
    for i, (played, run) in enumerate(lines):
        label = f"{played['name']}: {len(escaped(run, content))}/{len(run['final_reward'])}"
        axes[0, 0].plot(
            played["pulls"], run["reward"][1], color=colours(i % 20), linestyle=("-", "--")[i // 20 % 2], label=label
        )
    dress(axes[0, 0], f"mean reward over {content['window']:,} pulls, median of the seeds", "pulls", "")
    axes[0, 0].xaxis.set_major_formatter(_thousands)
    figure.legend(loc="outside right center", frameon=False, fontsize=8, title="seeds that escaped", title_fontsize=8)
    return figure


def _animation(content: dict[str, Any], run: Path) -> Path:
    """The policies of the first seed moving over the landscape, as a GIF."""
    from matplotlib.animation import PillowWriter

    played = content["played"][0]
    shown = _spread(played["runs"], PANELS)
    reward, top = content["landscape"]["reward"], 0.4
    figure, axes = panels(len(shown), 1, 6, 1.3 * len(shown) + 0.6)
    lines = []
    for axis, line, colour in zip(axes[:, 0], shown, _colours(len(shown)), strict=True):
        grey = [top / 1.15 * r / max(reward) for r in reward]
        axis.fill_between(range(len(reward)), grey, step="mid", color="0.85", linewidth=0)
        lines.append(axis.plot(line["policies"][0], drawstyle="steps-mid", color=colour)[0])
        axis.set_xlim(-0.5, len(reward) - 0.5)
        axis.set_ylim(0, top)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_ylabel(_label(line, played), fontsize=8)
    axes[-1, 0].set_xlabel("arm; rewards in grey", fontsize=8)
    title = figure.suptitle("policy after 0 pulls", fontsize=10)
    # Half of the frames for the first fifth of the run, where most of the movement is.
    last, half = len(played["pulls"]) - 1, FRAMES // 2
    moments = [round(0.2 * last * i / half) for i in range(half)]
    moments += [round(last * (0.2 + 0.8 * (i + 1) / half)) for i in range(half)]
    path = run / run_folder.FIGURES / "policy.gif"
    writer = PillowWriter(fps=8)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # found once, not for every frame
    with writer.saving(figure, str(path), dpi=70):
        for moment in moments:
            for line, data in zip(lines, shown, strict=True):
                line.set_ydata(data["policies"][moment])
            title.set_text(f"policy after {played['pulls'][moment]:,} pulls")
            writer.grab_frame()
    return path


def _spread(runs: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most this many of the runs, the first and the last among them."""
    if len(runs) <= most:
        return runs
    return [runs[round(i * (len(runs) - 1) / (most - 1))] for i in range(most)]

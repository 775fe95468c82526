"""The figure of an audit that shows where objectives move mass between several right answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rsgrpo.analysis.figures import dress, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAINS = ("#1a7f37", "#5bb974", "#b7e1c3")
"""Of the right answers, from the commonest to the rarest."""
KINDS = (("right against wrong", "#4c78a8"), ("one right answer against another", "#5bb974"), ("wrong ones", "#c9c9c9"))


def mass_figure(entries: Sequence[dict[str, Any]], n: int) -> "Figure":
    """Who gets the mass that right answers gain, and what one group's noise moves; a bar an objective."""
    ordered = sorted(entries, key=lambda entry: (-round(entry["several"]["spread"], 6), entry["name"]))
    figure, axes = panels(1, 2, 13, 0.24 * len(ordered) + 1.9)
    gains, noise = axes[0]
    of = [entry["several"] for entry in ordered]
    right, places = of[0]["right"], range(len(ordered))
    labels = [f"right answer of mass {mass:g}" for mass in of[0]["policy"][:right]]
    _stack(gains, [several["flow"][:right] for several in of], list(zip(labels, GAINS, strict=False)))
    _stack(noise, [_shares(several) for several in of], KINDS)
    for place, several in enumerate(of):
        gains.text(1.01, place, f"{several['spread']:.2f}", va="center", fontsize=7.5)
        noise.text(1.01, place, f"{several['noise']:.2f}", va="center", fontsize=7.5)
    gains.set_yticks(places, [entry["name"] for entry in ordered], fontsize=7.5)
    noise.set_yticks([])
    dress(gains, "who gets what right answers gain", "share; number: nats of their entropy for each unit of gain", "")
    dress(noise, "what the noise of one group moves", "share of the variance; number: noise over the mean", "")
    for axis in (gains, noise):
        axis.lines[0].remove()  # the zero of other figures, where the first bar is
        axis.grid(visible=False)
        axis.set_xlim(0, 1.1)
        axis.set_ylim(len(ordered) - 0.4, -0.6)
        axis.legend(frameon=False, fontsize=7.5, loc="lower center", bbox_to_anchor=(0.45, 1.05), ncols=3)
    figure.suptitle(f"Where the mass goes: a prompt with {right} right answers, exact, N = {n}", fontsize=11)
    return figure


def _stack(axis: "Axes", bars: Sequence[Sequence[float]], kinds: Sequence[tuple[str, str]]) -> None:
    """One bar for each row, its parts end to end."""
    for kind, (label, colour) in enumerate(kinds):
        left = [sum(parts[:kind]) for parts in bars]
        axis.barh(range(len(bars)), [parts[kind] for parts in bars], left=left, color=colour, label=label)


def _shares(several: dict[str, Any]) -> tuple[float, float, float]:
    """The parts of the variance, in the order of `KINDS`."""
    right, wrong = several["noise_among_right"], several["noise_among_wrong"]
    return 1 - right - wrong, right, wrong

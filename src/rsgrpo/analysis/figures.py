"""What all figures share: their panels, their style, and how they are saved."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsgrpo import run_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save(figure: "Figure", run: Path, name: str) -> Path:
    """PNG and SVG; text in the SVG stays text, and the same figure is the same file."""
    import matplotlib

    folder = run / run_folder.FIGURES
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
    return folder / f"{name}.png"


def panels(rows: int, columns: int, width: float, height: float) -> tuple["Figure", Any]:
    """A figure without the global state of pyplot, which would keep it alive."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def dress(axes: "Axes", title: str, x: str, y: str) -> None:
    """Title, labels, a line at 0, and a grid that stays behind."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)

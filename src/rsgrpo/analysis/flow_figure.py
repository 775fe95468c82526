"""The accuracies that objectives would reach by their expected gradient alone, made from an audit's run folder."""

from pathlib import Path

from rsgrpo import run_folder
from rsgrpo.analysis.figures import dress, panels, save

NAMED = 10
"""Lines that a legend beside the panel has room for in one column."""


def draw_flow(run: Path) -> Path:
    """p(t) of every audited objective, a panel for each accuracy at the start; returns the PNG file."""
    content = run_folder.read_json(run / run_folder.AUDIT)
    flows = {entry["name"]: entry["flow"] for entry in content["audits"]}
    starts = list(next(iter(flows.values()))["accuracy"])
    figure, axes = panels(1, len(starts), 5.5 * len(starts), 4)
    for axis, start in zip(axes[0], starts, strict=True):
        for i, (name, flow) in enumerate(flows.items()):
            style = ("-", "--", ":", "-.")[i // NAMED % 4]  # the colours repeat after ten
            axis.plot(flow["time"], flow["accuracy"][start], style, label=name, linewidth=1.4)
        dress(axis, f"from an accuracy of {start}", "learning rate times updates", "accuracy")
        axis.set_xscale("log")
        axis.set_ylim(0, 1)
    columns = 1 + (len(flows) - 1) // (2 * NAMED)
    axes[0, -1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), ncols=columns)
    title = f"flow of the expected gradient: one logit, rewards of 0 and 1, N = {content['completions']}"
    figure.suptitle(title, fontsize=11)
    return save(figure, run, "flow")

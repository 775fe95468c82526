"""The accuracies that objectives would reach by their expected gradient alone, made from an audit's run folder."""

from pathlib import Path

from rsgrpo import run_folder
from rsgrpo.analysis.audit_figures import line_styles, lines_of
from rsgrpo.analysis.figures import dress, panels, save


def draw_flow(run: Path) -> Path:
    """p(t) of every audited objective, a panel for each accuracy at the start; returns the PNG file.

    Objectives with the same flow share a line.
    """
    content = run_folder.read_json(run / run_folder.AUDIT)
    flows = {entry["name"]: entry["flow"] for entry in content["audits"]}
    styles = line_styles(list(flows))
    starts = list(next(iter(flows.values()))["accuracy"])
    alike: dict[tuple[float, ...], list[str]] = {}
    for name, flow in sorted(flows.items(), key=lambda named: "=" in named[0]):
        path = tuple(round(p, 6) for start in starts for p in flow["accuracy"][start])
        alike.setdefault(path, []).append(name)
    half = [sum(p < 0.5 for p in flows[names[0]]["accuracy"][starts[0]]) for names in alike.values()]
    order = [names for _, names in sorted(zip(half, alike.values(), strict=True))]  # the first at one half comes first
    figure, axes = panels(1, len(starts), 5.0 * len(starts) + 4, 5.2)
    for axis, start in zip(axes[0], starts, strict=True):
        for names in order:
            flow = flows[names[0]]
            axis.plot(flow["time"], flow["accuracy"][start], label=lines_of(names), **styles[names[0]])
        dress(axis, f"from an accuracy of {start}", "learning rate times updates", "accuracy")
        axis.set_xscale("log")
        axis.set_ylim(0, 1)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    title = f"flow of the expected gradient: one logit, rewards of 0 and 1, N = {content['completions']}"
    figure.suptitle(title, fontsize=11)
    return save(figure, run, "flow")

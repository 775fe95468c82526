"""The figures of an audit, PNG and SVG, made from its run folder alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsgrpo import run_folder
from rsgrpo.analysis.figures import dress, panels, save
from rsgrpo.analysis.mass_figure import mass_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PUBLISHED_AS_SUM = ("best_of_n", "pkpo")
"""Objectives whose formulas are printed for a sum over completions: Fig. 8 shows them divided by N."""

PANELS = (
    ("positive", "correct completion"),
    ("negative", "wrong completion"),
    ("cumulative", "sum of |A| in the group"),
)

PROPERTIES = (
    ("rewards\n0 and 1", lambda entry: True),  # an objective that refuses them is not audited
    ("continuous\nrewards", lambda entry: entry["continuous"] is not None),
    ("dense\nadvantage", lambda entry: entry["dense"]),
    ("negative\nadvantages", lambda entry: entry["has_negatives"]),
    ("centred", lambda entry: entry["centred"]),
    ("unbiased\n(0 and 1)", lambda entry: entry["unbiased"]["binary"]),
    ("unbiased\n(contin.)", lambda entry: None if entry["continuous"] is None else entry["unbiased"]["continuous"]),
)


MARKS: dict[bool | None, tuple[str, str]] = {True: ("✓", "#1a7f37"), False: ("✗", "#b42318"), None: ("-", "0.5")}


def draw_all(run: Path, *, rivals: Sequence[str]) -> list[Path]:
    """Fig. 2, Fig. 8 and Table 1 of the paper, the weights of all objectives and where the mass goes; returns the PNG
    files."""
    content = run_folder.read_json(run / run_folder.AUDIT)
    by_name = {entry["name"]: entry for entry in content["audits"]}
    compared = [by_name[name] for name in rivals if name in by_name]
    n = content["completions"]
    drawn = [
        save(_figure_2(content["figure_2"], n), run, "figure_2"),
        save(_figure_8(compared, n), run, "figure_8"),
        save(_table_1(content["audits"], rivals), run, "table_1"),
        save(_weights(content["audits"], n), run, "weights"),
    ]
    if all(entry["several"] for entry in content["audits"]):
        drawn.append(save(mass_figure(content["audits"], n), run, "mass"))
    return drawn


def draw_one(run: Path) -> list[Path]:
    """Advantages and weight of the one objective that was audited; returns the PNG files."""
    content = run_folder.read_json(run / run_folder.AUDIT)
    (entry,) = content["audits"]
    n = content["completions"]
    return [save(_advantages(entry, n), run, "advantages"), save(_one_weight(entry, n), run, "weight")]


def _by_accuracy(axes: "Axes", curve: dict[str, Any], panel: str, n: int, scale: float = 1.0, **style: Any) -> None:
    """One line over the groups of a panel that have such a completion and both kinds of reward."""
    points = [(c / n, curve[panel][int(c)]) for c in curve["correct"] if 0 < c < n]
    axes.plot([x for x, _ in points], [y * scale for _, y in points], marker="o", markersize=2.5, **style)


def _figure_2(curves: list[dict[str, Any]], n: int) -> "Figure":
    import matplotlib

    figure, axes = panels(1, 4, 14, 3.4)
    colours = matplotlib.colormaps["viridis"]
    for i, curve in enumerate(curves):
        style = {"color": colours(i / max(1, len(curves) - 0.5)), "label": f"β = {curve['beta']:g}"}
        by_reward = curve["by_reward"]
        axes[0, 0].plot(by_reward["reward"], by_reward["advantage"], marker="o", markersize=2.5, **style)
        for axis, (panel, _) in zip(axes[0, 1:], PANELS, strict=True):
            _by_accuracy(axis, curve["by_accuracy"], panel, n, **style)
    dress(axes[0, 0], f"(a) one group of {n} rewards, evenly spaced", "reward", "advantage")
    for axis, (panel, of) in zip(axes[0, 1:], PANELS, strict=True):
        dress(axis, f"(b) {panel}: {of}", f"accuracy c/{n} of the group", "")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"RS-GRPO advantages (Fig. 2 of the paper), N = {n}", fontsize=11)
    return figure


def _figure_8(entries: list[dict[str, Any]], n: int) -> "Figure":
    figure, axes = panels(2, 3, 12, 6.4)
    for entry in entries:
        curve, published = entry["by_accuracy"], 1 / n if entry["name"] in PUBLISHED_AS_SUM else 1.0
        peak = max(curve["cumulative"])
        label = f"{entry['name']}{_setting(entry)}{' (A/N)' if published != 1 else ''}"
        width = 2.2 if entry["name"] == "rs_grpo" else 1.2
        for row, scale in enumerate((published, 1 / peak)):
            for axis, (panel, _) in zip(axes[row], PANELS, strict=True):
                _by_accuracy(axis, curve, panel, n, scale, label=label, linewidth=width)
    for row, y in enumerate(("advantage, as published", "relative to the peak of sum |A|")):
        for axis, (panel, of) in zip(axes[row], PANELS, strict=True):
            dress(axis, f"{panel}: {of}", f"accuracy c/{n} of the group", y if panel == "positive" else "")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"RS-GRPO and the methods it is compared with (Fig. 8 of the paper), N = {n}", fontsize=11)
    return figure


def _setting(entry: dict[str, Any]) -> str:
    """beta or k of an objective, for a legend."""
    settings = entry["settings"]
    shown = [name for name in ("beta", "k") if isinstance(settings.get(name), int | float)]
    return f", {shown[0]} = {settings[shown[0]]:g}" if shown and f"{shown[0]}=" not in entry["name"] else ""


def _table_1(entries: list[dict[str, Any]], rivals: Sequence[str]) -> "Figure":
    first = sorted((e for e in entries if e["name"] in rivals), key=lambda e: list(rivals).index(e["name"]))
    ordered = [*first, *(e for e in entries if e["name"] not in rivals)]
    figure, axes = panels(1, 1, 9.5, 0.27 * len(ordered) + 1.2)
    axis = axes[0, 0]
    axis.set_xlim(-3.2, len(PROPERTIES) - 0.5)
    axis.set_ylim(len(ordered) - 0.5, -2.2)
    axis.axis("off")
    for x, (title, _) in enumerate(PROPERTIES):
        axis.text(x, -0.9, title, ha="center", va="bottom", fontsize=8.5)
    for y, entry in enumerate(ordered):
        axis.text(-3.2, y, f"{entry['name']}{_setting(entry)}", va="center", fontsize=9)
        for x, (_, holds) in enumerate(PROPERTIES):
            mark, colour = MARKS[holds(entry)]
            axis.text(x, y, mark, ha="center", va="center", color=colour)
    for y in (-0.6, len(first) - 0.5):
        axis.axhline(y, color="0.4", linewidth=0.8)
    figure.suptitle("What holds of each objective (Table 1 of the paper), computed", fontsize=11)
    figure.supxlabel(
        "dense: every group with 0 < c < N gets at least 1% of the largest sum |A|. unbiased: the expected gradient\n"
        "equals that of the objective's own claim to 1e-8. Above the line: the methods of the paper's table, which\n"
        "has no ✓ for continuous rewards of chen: its published formula is for 0 and 1, the form here for any reward.",
        fontsize=7.5,
    )
    return figure


def _weights(entries: list[dict[str, Any]], n: int) -> "Figure":
    figure, axes = panels(1, 2, 14, 5.6)
    groups = _equal_weights(entries)
    styles = line_styles([entry["name"] for entry in entries])
    for names, curve in groups:
        style = styles[names[0]]
        share = sum(curve["weight"]) / len(curve["weight"])
        axes[0, 0].plot(curve["accuracy"], curve["weight"], label=lines_of(names), **style)
        axes[0, 1].plot(curve["accuracy"], [w / share if share else 0.0 for w in curve["weight"]], **style)
    dress(axes[0, 0], "weight w(p)", "accuracy p of the prompt", "E[gradient] / grad p")
    dress(axes[0, 1], "share: w(p) divided by its mean over p", "accuracy p of the prompt", "")
    for axis in axes[0]:
        axis.set_yscale("log")
        axis.set_ylim(1e-3, 2 * max(max(curve["weight"]) for _, curve in groups))
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    figure.suptitle(f"Which prompts an objective learns from: exact, rewards of 0 and 1, N = {n}", fontsize=11)
    return figure


def line_styles(names: list[str]) -> dict[str, dict[str, Any]]:
    """One colour for all settings of an objective, solid for its defaults; the paper's is black and bold."""
    import matplotlib

    colours = matplotlib.colormaps["tab20"]
    dashes = (("-", "--", ":", "-."), ((0, (6, 2, 1, 2, 1, 2)), (0, (1, 4)), (0, (10, 4)), (0, (3, 5))))
    strong_first = [colours(i) for i in (*range(0, 20, 2), *range(1, 20, 2))]
    families = list(dict.fromkeys(name.split()[0] for name in names if name.split()[0] != "rs_grpo"))
    styles = {}
    for name in names:
        family = name.split()[0]
        earlier = [other for other in styles if other.split()[0] == family]
        again = 0 if family == "rs_grpo" else families.index(family) // 20  # there are more of them than colours
        styles[name] = {
            "color": "black" if family == "rs_grpo" else strong_first[families.index(family) % 20],
            "linewidth": 2.2 if family == "rs_grpo" else 1.3,
            "linestyle": dashes[(again + len(earlier) // 4) % 2][len(earlier) % 4],
        }
    return styles


def _equal_weights(entries: list[dict[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """(names, curve): objectives with the same curve share a line, defaults first; heaviest on hard prompts first."""
    groups: list[tuple[list[str], dict[str, Any]]] = []
    for entry in sorted(entries, key=lambda entry: "=" in entry["name"]):
        curve = entry["weight"]
        for names, other in groups:
            if all(
                abs(a - b) <= 1e-9 * max(1.0, abs(b)) for a, b in zip(curve["weight"], other["weight"], strict=True)
            ):
                names.append(entry["name"])
                break
        else:
            groups.append(([entry["name"]], curve))
    return sorted(groups, key=lambda group: -group[1]["weight"][5])


def lines_of(names: list[str], per_line: int = 2) -> str:
    """Names as a legend has them, a few to a line."""
    return ",\n".join(", ".join(names[i : i + per_line]) for i in range(0, len(names), per_line))


def _advantages(entry: dict[str, Any], n: int) -> "Figure":
    figure, axes = panels(1, 4, 14, 3.4)
    if entry["by_reward"] is None:
        axes[0, 0].text(0.5, 0.5, "refuses continuous rewards", ha="center", transform=axes[0, 0].transAxes)
    else:
        axes[0, 0].plot(entry["by_reward"]["reward"], entry["by_reward"]["advantage"], marker="o", markersize=2.5)
    dress(axes[0, 0], f"one group of {n} rewards, evenly spaced", "reward", "advantage")
    for axis, (panel, of) in zip(axes[0, 1:], PANELS, strict=True):
        _by_accuracy(axis, entry["by_accuracy"], panel, n)
        dress(axis, f"{panel}: {of}", f"accuracy c/{n} of the group", "")
    figure.suptitle(f"{entry['name']}{_setting(entry)}: advantages, N = {n}", fontsize=11)
    return figure


def _one_weight(entry: dict[str, Any], n: int) -> "Figure":
    figure, axes = panels(1, 1, 6, 4)
    axis, curve = axes[0, 0], entry["weight"]
    low = [w - s for w, s in zip(curve["weight"], curve["std"], strict=True)]
    high = [w + s for w, s in zip(curve["weight"], curve["std"], strict=True)]
    axis.fill_between(curve["accuracy"], low, high, alpha=0.15, linewidth=0, label="one group's estimate: ± 1 std")
    axis.plot(curve["accuracy"], curve["weight"], label="expected")
    if curve["claimed"] is not None:
        axis.plot(curve["accuracy"], curve["claimed"], color="0.2", linestyle="--", linewidth=1, label="claimed")
    highest = max(curve["weight"] + (curve["claimed"] or []))
    axis.set_ylim(min(0, *curve["weight"]) - 0.1 * highest, 1.5 * highest)
    dress(axis, f"{entry['name']}{_setting(entry)}, N = {n}", "accuracy p of the prompt", "w(p) = E[gradient] / grad p")
    axis.legend(frameon=False, fontsize=8)
    return figure

"""The lemmas as a table and a figure, made from their run folder alone."""

import json
import statistics
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rsgrpo import run_folder
from rsgrpo.analysis.figures import dress, panels, save
from rsgrpo.analysis.tables import whole_width


def read_lemmas(run: Path) -> dict[str, Any]:
    """What `task=lemmas` wrote."""
    return json.loads((run / run_folder.LEMMAS).read_text(encoding="utf-8"))


def print_lemmas(run: Path, console: Console) -> None:
    """One row per number of best arms and learning rate."""
    content = read_lemmas(run)
    table = Table(
        title=f"lemmas of the paper on exact updates of random bandits with {content['arms']} arms",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="Lemma 2 (6): the standard step lowers the best arms, on policies made for it and on random ones\n"
        "Lemma 3 (7): above beta = log(1/p)/gap every step raises them; median of the smallest such beta found, where "
        "one is needed\nLemma 4 (8): beyond some beta the gain only shrinks; median of the smallest such beta found",
        caption_justify="left",
    )
    for column in (
        "best\narms",
        "learning\nrate",
        "lemma 2:\nmisled",
        "lemma 2:\nrandom",
        "lemma 3:\nraised",
        "beta\nneeded",
        "log(1/p)\n/ gap",
        "lemma 4:\nshrinks",
        "from\nbeta",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for check in content["checks"]:
        of = f"/{check['bandits']}"
        needed = [beta for beta in check["threshold_of_gain"] if beta > 0]
        table.add_row(
            str(check["optimal_arms"]),
            f"{check['learning_rate']:g}",
            f"{check['lowered_when_misled']}{of}",
            f"{check['lowered_at_random']}{of}",
            f"{check['raised_above_sufficient']}{of}",
            f"{statistics.median(needed):.3g} ({len(needed)})" if needed else "0",
            f"{statistics.median(check['sufficient']):.3g}",
            f"{check['shrinks_in_the_end']}{of}",
            f"{statistics.median(check['threshold_of_decline']):.3g}",
        )
    whole_width(console, table)


def draw_lemmas(run: Path) -> Path:
    """Gain of the best arms against beta, on some of the bandits, for the first learning rate of each kind."""
    content = read_lemmas(run)
    first = {check["optimal_arms"]: check for check in reversed(content["checks"])}
    figure, axes = panels(1, len(first), 6 * len(first), 4)
    for axis, (optimal, check) in zip(axes[0], sorted(first.items()), strict=True):
        for gains in check["gains"]:
            largest = max(abs(gain) for gain in gains)
            axis.plot(check["relative_beta"], [g / largest for g in gains], color="tab:blue", alpha=0.35, linewidth=0.9)
        dress(
            axis,
            f"{optimal} best arm{'s' if optimal > 1 else ''}, learning rate {check['learning_rate']:g}",
            "beta over log(1/p)/gap, above which Lemma 3 holds",
            "gain of the best arms, relative",
        )
        axis.set_xscale("log")
        axis.axvline(1, color="0.3", linestyle="--", linewidth=0.8)
    figure.suptitle(
        "Change of log probability of the best arms in one exact step: positive from some beta on, then shrinking",
        fontsize=11,
    )
    return save(figure, run, "lemmas")

"""The lemmas as a table and a figure, made from their run folder alone."""

import statistics
from pathlib import Path

from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.figures import dress, panels, save
from rsgrpo.analysis.tables import plain_table, whole_width


def print_lemmas(run: Path, console: Console) -> None:
    """One row per number of best arms and learning rate."""
    content = run_folder.read_json(run / run_folder.LEMMAS)
    table = plain_table(
        title=f"lemmas of the paper on exact updates of random bandits with {content['arms']} arms",
        caption="Lemma 2 (6): the standard step lowers the best arms, on policies made for it and on random ones\n"
        "Lemma 3 (7): above beta = log(1/p)/gap every step raises them; median of the smallest such beta found, where "
        "one is needed (on so many)\nLemma 4 (8): beyond some beta the gain only shrinks; median of the "
        "smallest such beta found",
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
    content = run_folder.read_json(run / run_folder.LEMMAS)
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

"""The audit as a table in the terminal, made from its run folder alone."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rsgrpo import run_folder
from rsgrpo.analysis.tables import plain_table, whole_width


def print_audit(run: Path, console: Console) -> None:
    """One row per objective: bias against its claim, noise, and what groups that are all right or all wrong get."""
    content = run_folder.read_json(run / run_folder.AUDIT)
    whole_width(console, audit_table(content))
    if all(entry["several"] for entry in content["audits"]):
        whole_width(console, several_table(content))
    else:
        console.print(f"several right answers: groups of {content['completions']} are too many to enumerate")
    if "kl" in content:
        whole_width(console, kl_table(content["kl"]))
    for name, reason in content["refused"].items():
        console.print(f"not audited: {name}: {reason}", soft_wrap=True, highlight=False)


def audit_table(content: dict[str, Any]) -> Table:
    """The table of an audit."""
    table = plain_table(
        title=f"audit: exact expectation over all groups of N = {content['completions']}",
        caption="scale, cosine: expected gradient against that of the claimed objective; p: accuracy of a prompt with "
        "rewards of 0 and 1\nweight: expected gradient over grad p\nall right, all wrong: advantage in such a group, ± "
        "its mean size where completions get different ones\nnoise: standard deviation of one group's gradient over "
        "its mean; in 4: four outcomes, two right; p: one right answer, no two wrong ones alike\neffective: "
        "completions that share a group's advantage, (sum |A|)² / sum A²; rms: root mean square of an advantage",
    )
    table.add_column("objective", no_wrap=True)
    for column in (
        "unbiased",
        "scale\np=.05",
        "scale\np=.5",
        "scale\ncontin.",
        "cosine\ncontin.",
        "noise\nin 4",
        "noise\np=.05",
        "noise\np=.25",
        "effective\np=.25",
        "rms\np=.25",
        "weight\np=.05",
        "weight\np=.5",
        "weight\np=.95",
        "centred",
        "all\nright",
        "all\nwrong",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in content["audits"]:
        at, continuous = entry["at"], entry["continuous"]
        table.add_row(
            entry["name"],
            _unbiased(entry),
            _number(at["0.05"]["scale"]),
            _number(at["0.5"]["scale"]),
            *(("refused", "") if continuous is None else (_number(continuous[key]) for key in ("scale", "cosine"))),
            _number(entry["binary"]["noise"]),
            *(_number(at[p]["noise_many_wrong"]) for p in ("0.05", "0.25")),
            _number(at["0.25"]["effective"]),
            _number(at["0.25"]["rms"]),
            *(_number(at[p]["weight"]) for p in ("0.05", "0.5", "0.95")),
            "yes" if entry["centred"] else "no",
            _edge(entry["all_right"]),
            _edge(entry["all_wrong"]),
        )
    return table


def several_table(content: dict[str, Any]) -> Table:
    """Where mass goes, and where noise points, on a prompt with several right answers."""
    first = content["audits"][0]["several"]
    masses = first["policy"][: first["right"]]
    told = ", ".join(f"{mass:g}" for mass in masses)
    table = plain_table(
        title=f"a prompt with {first['right']} right answers of mass {told}: small steps along the expected gradient",
        caption="credit: of a rarer answer, against that of the commonest; gets: its share of what right answers gain\n"
        "entropy: of the right answers among themselves, for each unit that they gain, in nats\nnoise: standard "
        "deviation of one group's gradient over its mean; among: its share of the variance that only moves mass "
        "between right answers, or between wrong ones",
    )
    table.add_column("objective", no_wrap=True)
    for column in (
        *(f"credit\n{mass:g}" for mass in masses[1:]),
        *(f"gets\n{mass:g}" for mass in masses),
        "entropy",
        "noise",
        "among\nright",
        "among\nwrong",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in content["audits"]:
        several = entry["several"]
        credit, flow = several["credit"], several["flow"]
        table.add_row(
            entry["name"],
            *(_number(credit[i] / credit[0]) for i in range(1, len(masses))),
            *(_number(flow[i]) for i in range(len(masses))),
            *(_number(several[key]) for key in ("spread", "noise", "noise_among_right", "noise_among_wrong")),
        )
    return table


def kl_table(content: dict[str, Any]) -> Table:
    """What the estimators of the KL divergence do, in the loss and off the reward."""
    other = content["other_way_round"]
    table = plain_table(
        title=f"KL terms: exact expectation over one token, KL(policy || reference) = {content['kl']:.3f} nats",
        caption="value: expected estimate over the true KL; along, cosine: expected gradient against the gradient of "
        "KL(policy || reference)\nthat of KL(reference || policy) has "
        f"{_number(other['along'])} and {_number(other['cosine'])}; noise: standard deviation of one token's gradient "
        "over the size of the true one",
    )
    for column in ("estimator", "place"):
        table.add_column(column, no_wrap=True)
    for column in ("value", "along", "cosine", "noise"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in content["estimators"]:
        numbers = (_number(row[name]) for name in ("value", "along", "cosine", "noise"))
        table.add_row(row["estimator"], row["place"], *numbers)
    return table


def _unbiased(entry: dict[str, Any]) -> str:
    if entry["binary"]["claimed"] is None:
        return "no claim"
    if not entry["unbiased"]["binary"]:
        return "no"
    return "yes" if entry["unbiased"]["continuous"] else "0/1 only"


def _edge(advantage: dict[str, float]) -> str:
    """The advantage that all completions of a group get; its mean size where they get different ones."""
    mean, size = advantage["mean"], advantage["size"]
    return _number(mean) if abs(size - abs(mean)) < 1e-9 else f"±{_number(size)}"


def _number(value: float | None) -> str:
    """Three digits: 1.00, 0.761, 0; empty for None.

    >>> [_number(x) for x in (1.0, 0.7614, 10.73, -0.26667, 9.4e-5, 1e-17, None)]
    ['1.00', '0.761', '10.7', '-0.267', '9.4e-05', '0', '']
    """
    if value is None:
        return ""
    if abs(value) < 1e-12:
        return "0"
    return f"{value:#.3g}" if 0.001 <= abs(value) < 1000 else f"{value:.2g}"

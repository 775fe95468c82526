"""The tables of a report in LaTeX, with the rules of booktabs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsgrpo import run_folder
from rsgrpo.analysis.compare_table import number, numbered, remark, verdict
from rsgrpo.comparison.paper import BENCHMARKS

Record = Mapping[str, Any]

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"} | {
    character: f"\\{character}" for character in "&%$#_{}"
}

NAMES = ("AIME24", "AIME25", "HMMT Feb24", "HMMT Feb25", "CMIMC25", "MATH500")
"""Of `BENCHMARKS`, as the paper prints them."""


def write_tables(content: Record, folder: Path) -> list[Path]:
    """`tables/*.tex`: the comparison, the support, and the paper's table where the report has it."""
    tables = {"comparison": _comparison(content["comparison"])}
    if content["support"]:
        tables["support"] = _support(content["support"])
    if content["paper"]:
        tables["paper"] = _paper(content["paper"])
    place = folder / run_folder.TABLES
    place.mkdir(exist_ok=True)
    for name, text in tables.items():
        (place / f"{name}.tex").write_text(text, encoding="utf-8")
    return [place / f"{name}.tex" for name in tables]


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is.

    >>> escaped("rs_grpo beta=2 & 50%")
    'rs\\\\_grpo beta=2 \\\\& 50\\\\%'
    """
    return re.sub(r"[\\~^<>&%$#_{}]", lambda match: SPECIAL[match.group()], text)


def latex_table(columns: str, header: Sequence[str], blocks: Sequence[tuple[str, Sequence[Sequence[str]]]]) -> str:
    """A tabular of blocks of rows, each below its title if it has one; cells are LaTeX already."""
    lines = [r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _row(header)]
    for title, rows in blocks:
        lines.append(r"\midrule")
        if title:
            lines.append(rf"\multicolumn{{{len(header)}}}{{l}}{{\emph{{{title}}}}} \\")
        lines += [_row(cells) for cells in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _comparison(content: Record) -> str:
    """Below it, as comments, what is wrong with intervals."""
    blocks: dict[str, list[list[str]]] = {}
    remarks: list[str] = []
    for row in content["rows"]:
        difference = row["difference"]
        blocks.setdefault(escaped(row["measure"]), []).append(
            [
                escaped(row["arm"]),
                str(len(row["values"])),
                f"{_interval(row['mean'])} {remark(row['mean'], remarks)}".rstrip(),
                "" if difference is None else _interval(difference, "+"),
                "" if row["improvement"] is None else number(row["improvement"]),
                escaped(verdict(row, remarks)),
            ]
        )
    header = ["", "runs", "mean", f"minus {escaped(content['baseline'])}", "P(better)", "verdict, $p$"]
    return latex_table("lrllrl", header, list(blocks.items())) + "".join(f"% {line}\n" for line in numbered(remarks))


def _interval(interval: Record, sign: str = "") -> str:
    estimate = number(interval["estimate"], sign)
    if interval["low"] is None:
        return f"${estimate}$"
    return f"${estimate}$ $[{number(interval['low'], sign)}, {number(interval['high'], sign)}]$"


def _support(changes: Sequence[Record]) -> str:
    header = ["", "$k$", "kept", "gained", "lost", "SRR", "NDR", "NSCR", "SDS"]
    rows = []
    for change in changes:
        of = f" ({escaped(change['benchmark'])})" if change["benchmark"] else ""
        name = f"{escaped(change['first'])} to {escaped(change['second'])}{of}"
        rows.append([name, str(change["k"]), *_measured(change, "counts", "ratios")])
        rows.append([r"\quad placebo", "", *_measured(change, "placebo_counts", "placebo_ratios")])
    return latex_table("lrrrrrrrr", header, [("", rows)])


def _measured(change: Record, counts: str, ratios: str) -> list[str]:
    kept = [f"{change[counts][kind]:.1f}" for kind in ("kept", "gained", "lost")]
    return [*kept, *("--" if value is None else f"${number(value)}$" for value in change[ratios].values())]


def _paper(rows: Sequence[Record]) -> str:
    """Own runs first, then the paper's, in per cent: pass@1 / pass@32."""
    blocks: dict[str, list[list[str]]] = {}
    for row in rows:
        whose = "own runs" if row["own"] else "the paper"
        title = escaped(f"{row['model']} ({row['train_data']}), {whose}: pass@1 / pass@32")
        cells = [pair_of(row["values"].get(name)) for name in BENCHMARKS]
        blocks.setdefault(title, []).append([escaped(row["method"]), *cells, pair_of(row["average"])])
    return latex_table("lrrrrrrr", ["", *NAMES, "Average"], list(blocks.items()))


def pair_of(values: Sequence[float | None] | None) -> str:
    """`16.7 / 45.1`, with a dash for what is not there."""
    if values is None or all(value is None for value in values):
        return "--"
    return " / ".join("--" if value is None else f"{value:.1f}" for value in values)


def by_placebo(transitions: Sequence[Record]) -> list[tuple[Record, list[Record]]]:
    """The transitions that share a placebo, under the first of them: those of one policy beside the same pairs."""
    found: list[tuple[Record, list[Record]]] = []
    for change in transitions:
        alike = next((g for f, g in found if (f["first"], f["placebo"]) == (change["first"], change["placebo"])), None)
        if alike is None:
            found.append((change, [change]))
        else:
            alike.append(change)
    return found

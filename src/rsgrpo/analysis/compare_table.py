"""The table of `task=compare`, made from its `compare.json` alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from rsgrpo import run_folder
from rsgrpo.analysis.tables import plain_table, whole_width

Record = Mapping[str, Any]


def print_comparison(run: Path, console: Console) -> None:
    """What is compared, the table, and what is unequal or was left out."""
    content = run_folder.read_json(run / run_folder.COMPARE)
    remarks: list[str] = []
    table = plain_table(title_of(content), "")
    for column in ("", "mean", f"minus {content['baseline']}", "verdict p"):
        table.add_column(column, justify="left" if column in ("", "verdict p") else "right", no_wrap=True)
    counts = {len(row["values"]) for row in content["rows"]}
    before = None
    for row in content["rows"]:
        if row["measure"] != before:
            table.add_section()
            table.add_row(short(row["measure"]), style="bold")
        table.add_row(*_cells(row, remarks, alike=len(counts) == 1))
        before = row["measure"]
    whole_width(console, table)
    for control in content.get("controls", ()):
        console.print(control_in_words(control, remarks), soft_wrap=True, highlight=False, markup=False)
    for line in [*legend(content), *numbered(remarks)]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for note in content["notes"]:
        console.print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)


def control_in_words(control: Record, remarks: list[str]) -> str:
    """What a policy gains over the baseline's at any temperature; `remarks` as in `verdict`."""
    found = [
        (control["gain"], "at the same temperature"),
        (control["over_best"], f"at its best one, {control['best_temperature']:g}"),
    ]
    if control["over_matched"] is not None:
        found.append(
            (control["over_matched"], f"at the same entropy, temperature {control['matched_temperature']:.2f}")
        )
    said = []
    for interval, where in found:
        doubt = unreliable(interval, remarks)
        said.append(f"{_shown(interval, '+')} {where}{f', {doubt}' if doubt else ''}")
    policy = f"{control['measure']} of {control['policy']} at temperature {control['temperature']:g}"
    return f"{policy}, minus {control['baseline']}: {'; '.join(said)}"


def verdict(row: Record, remarks: list[str]) -> str:
    """In a word or two, what a difference says; `remarks` gets what is wrong with it, by number."""
    difference, p = row["difference"], row["p_holm"]
    if difference is None:
        return ""
    if doubt := unreliable(difference, remarks):
        return doubt
    said = "undecided" if not row["decided"] else "higher" if difference["estimate"] > 0 else "lower"
    return f"{said} {'<.001' if p < 0.001 else number(p)}"


def unreliable(interval: Record, remarks: list[str]) -> str:
    """`unreliable [1]` where an interval rests on too little, else nothing; `remarks` gets the reason, by number."""
    mark = remark(interval, remarks)
    return f"unreliable {mark}" if mark else ""


def remark(interval: Record, remarks: list[str]) -> str:
    """The number of the remark on an interval, in brackets, or nothing where there is none to make."""
    if not interval["flag"]:
        return ""
    if interval["flag"] not in remarks:
        remarks.append(interval["flag"])
    return f"[{remarks.index(interval['flag']) + 1}]"


def numbered(remarks: Sequence[str]) -> list[str]:
    """The remarks as lines below a table."""
    return [f"[{i}] unreliable: {remark}" for i, remark in enumerate(remarks, start=1)]


def short(measure: str) -> str:
    """`train/cumulative_solve_rate` without its group."""
    return measure.rpartition("/")[2]


def number(value: float, sign: str = "") -> str:
    """Three decimals without a leading zero, or four digits of what is 10 and more.

    >>> number(0.25), number(-0.0404), number(0.5, "+"), number(1.0), number(123.456)
    ('.250', '-.040', '+.500', '1.000', '123.5')
    """
    if abs(value) >= 10:
        return f"{value:{sign}.4g}" if abs(value) < 10_000 else f"{value:{sign},.0f}"
    return f"{value:{sign}.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:{sign}.3f}"


def title_of(content: Record) -> str:
    """What is compared, in a line."""
    iterations = sorted({run["iteration"] for arm in content["arms"] for run in arm["runs"]} - {None})
    ends = dict.fromkeys([*iterations[:1], *iterations[-1:]])
    at = f", iteration {' to '.join(map(str, ends))}" if ends else ""
    names = [name for name in content["benchmarks"] if name]
    of = f" of {len(names)} benchmarks, which weigh the same" if len(names) > 1 else ""
    matched = "" if content["match"] == "iterations" else f", matched by {content['match']}"
    counts = sorted({len(row["values"]) for row in content["rows"]})
    runs = f"{counts[0]} to {counts[-1]} runs" if len(counts) > 1 else f"{counts[0]} run{'s' * (counts[0] > 1)}"
    return f"{content['split']} split{at}{matched}: {content['problems']:,} problems{of}, {runs} of each arm"


def legend(content: Record) -> list[str]:
    """What the columns mean, and how large a difference these runs could have shown."""
    units = {row["mean"]["unit"] for row in content["rows"]}
    lines = [
        f"[ , ]: intervals of {content['level']:.0%}, each by itself. The verdict follows p, which is two-sided and "
        "Holm-corrected over the arms under a measure (and at a temperature)."
    ]
    if "problems" in units:
        lines.append(
            "Single runs: bootstrap-t over problems, paired. It describes these policies; to judge their objectives, "
            "train several seeds (-m seed=0,1,2)."
        )
    if "runs" in units and any(len(row["values"]) > 1 for row in content["rows"]):
        lines.append("Several runs: Student's t over them; differences are paired by base and seed.")
    undecided: dict[str, tuple[float, int]] = {}
    for row in content["rows"]:
        if row["detectable"] is not None and not row["decided"]:
            size = (row["detectable"], row["difference"]["units"])
            undecided[row["measure"]] = max(undecided.get(row["measure"], size), size)
    for measure, (size, pairs) in undecided.items():
        lines.append(
            f"{short(measure)}, where undecided: with {pairs} pairs, a true difference of {number(size)} would be "
            "detected with a chance of 80 %, a smaller one less often."
        )
    return lines


def _cells(row: Record, remarks: list[str], *, alike: bool) -> tuple[Text, ...]:
    """`alike`: all arms have the same number of runs, which the title says."""
    difference = row["difference"]
    runs = "" if alike else f" x {len(row['values'])}"
    cells = (
        f"  {row['arm']}{runs}",
        f"{_shown(row['mean'])} {remark(row['mean'], remarks)}".rstrip(),
        "" if difference is None else _shown(difference, sign="+"),
        verdict(row, remarks),
    )
    return tuple(map(Text, cells))


def _shown(interval: Record, sign: str = "") -> str:
    estimate = number(interval["estimate"], sign)
    if interval["low"] is None:
        return estimate
    return f"{estimate} [{number(interval['low'], sign)},{number(interval['high'], sign)}]"

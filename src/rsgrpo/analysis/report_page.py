"""The page of a report: one file that needs nothing else, made from `report.json` alone."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rsgrpo import run_folder
from rsgrpo.analysis.compare_table import (
    control_in_words,
    legend,
    number,
    numbered,
    remark,
    short,
    title_of,
    unreliable,
    verdict,
)
from rsgrpo.analysis.report_colours import arms_of, colours
from rsgrpo.analysis.report_settings import settings_that_differ
from rsgrpo.analysis.report_svg import panel_svg
from rsgrpo.analysis.report_tables import NAMES, by_placebo, pair_of
from rsgrpo.comparison.arms import policy_of
from rsgrpo.comparison.compare import BASE
from rsgrpo.comparison.paper import BENCHMARKS

Record = Mapping[str, Any]

TEMPLATE = "report.html"


def write_page(content: Record, folder: Path) -> Path:
    """`report.html`."""
    environment = Environment(
        loader=PackageLoader("rsgrpo.analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "interval": _interval,
        "temperature": lambda t: f"{round(t, 2):g}",
        "share": lambda share: f"{100 * share:.1f}",
        "pair": pair_of,
        "words": shlex.join,
    }
    remarks: list[str] = []
    compared = content["comparison"]
    rows = [
        {**row, "doubt": remark(row["mean"], remarks), "verdict": _without_p(verdict(row, remarks))}
        for row in compared["rows"]
    ]
    of_controls: list[str] = []
    gains = [{**control, "doubts": _doubts(control, of_controls)} for control in compared["controls"]]
    said = [*controlled(compared["controls"], remarks), *verdicts(rows, compared["baseline"])]
    shown = dict(
        title=_title(compared["arms"]),
        subtitle=title_of(compared),
        rows=rows,
        said=said,
        legend=[*legend(compared), *numbered(remarks)],
        controls=gains,
        remarks_of_controls=numbered(of_controls),
        settings=settings_that_differ(compared["arms"]),
        changes=by_placebo(content["transitions"]),
        keys={name: _shown(content, name) for name in PANELS},
        panels={name: _drawn(content, name) for name in PANELS},
        bands=_bands(content["curves"]),
        bound=max((share for t in content["transitions"] for line in t["matrix"] for share in line), default=1.0),
        paper=_paper(content["paper"]),
        paper_names=NAMES,
        figures=sorted(path.name for path in (folder / run_folder.FIGURES).glob("*.png")),
        tables=sorted(path.name for path in (folder / run_folder.TABLES).glob("*.tex")),
    )
    page = environment.get_template(TEMPLATE).render({**content, **shown})
    file = folder / run_folder.REPORT_PAGE
    file.write_text(page, encoding="utf-8")
    return file


MOST_NAMED = 3
"""Arms, of which nothing is decided, that are named one by one."""

PANELS = ("curves", "answers", "temperatures", "training", "costs")


def _drawn(content: Record, name: str) -> list[Markup]:
    dress = colours(arms_of(content, name), BASE) if content[name] else {}
    return [Markup(panel_svg(panel, dress)) for panel in content[name]]


def controlled(controls: Sequence[Record], remarks: list[str]) -> list[str]:
    """Whether gains are more than a hotter sampler, policy by policy; `remarks` gets what is wrong with an interval."""
    return [f"{control_in_words(control, remarks)}." for control in controls]


def _doubts(control: Record, remarks: list[str]) -> dict[str, str]:
    """What is wrong with each interval of a control, by its name."""
    names = ("gain", "over_best", "over_matched")
    return {name: unreliable(control[name], remarks) if control[name] is not None else "" for name in names}


def verdicts(rows: Sequence[Record], baseline: str) -> list[str]:
    """A sentence for each difference that is decided, and one that names all others."""
    found: list[str] = []
    others: dict[str, list[str]] = {}
    compared: dict[str, list[str]] = {}
    for row in rows:
        difference, measure = row["difference"], short(row["measure"])
        if difference is None:
            continue
        compared.setdefault(measure, []).append(row["arm"])
        if not row["decided"]:
            others.setdefault(measure, []).append(row["arm"])
        else:
            which = "higher" if difference["estimate"] > 0 else "lower"
            found.append(f"{row['arm']} has a {which} {measure} than {baseline}: {_interval(difference, '+')}.")
    if others:
        named: dict[str, list[str]] = {}
        for measure, arms in others.items():
            every = len(arms) > MOST_NAMED and arms == compared[measure]
            named.setdefault("all others" if every else ", ".join(arms), []).append(measure)
        listed = "; ".join(f"{_listed(measures)} of {arms}" for arms, measures in named.items())
        found.append(f"Not decided, against {baseline}: {listed}.")
    return found


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else number(value, sign)


def _interval(interval: Record | None, sign: str = "") -> str:
    if interval is None:
        return ""
    if interval["low"] is None:
        return _number(interval["estimate"], sign)
    return (
        f"{_number(interval['estimate'], sign)} [{_number(interval['low'], sign)}, {_number(interval['high'], sign)}]"
    )


def _bands(curves: Sequence[Record]) -> str:
    """What the bands of the curves are intervals over."""
    over: dict[str, list[str]] = {}
    for line in curves[0]["lines"]:
        over.setdefault(line["over"], []).append(line["arm"])
    return "; ".join(f"over {what} ({', '.join(arms)})" for what, arms in over.items())


def _shown(content: Record, name: str) -> dict[str, tuple[str, str]]:
    """The arms that any panel has a line of, each with its colour and dashes."""
    if not content[name]:
        return {}
    drawn = {line["arm"] for panel in content[name] for line in panel["lines"]}
    return {arm: dressed for arm, dressed in colours(arms_of(content, name), BASE).items() if arm in drawn}


def _title(arms: Sequence[Record]) -> str:
    """The arms, or the policies of a grid of temperatures and how many of those it has."""
    policies = Counter(policy_of(arm["arm"]) for arm in arms)
    fewest, most = min(policies.values()), max(policies.values())
    at = f" at {most} temperatures" if fewest == most else f" at up to {most} temperatures"
    return _listed(list(policies)) + (at if most > 1 else "")


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _without_p(verdict: str) -> str:
    """p has a column of its own."""
    word, _, rest = verdict.partition(" ")
    return verdict if rest.startswith("[") else word


def _paper(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """The rows with their cells in the paper's order."""
    return [{**row, "cells": [row["values"].get(name) for name in BENCHMARKS]} for row in rows]

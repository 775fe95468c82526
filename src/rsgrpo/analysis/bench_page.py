"""The leaderboard of a bench as one page that needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rsgrpo.analysis.compare_table import number
from rsgrpo.bench.standings import Board, Leaderboard
from rsgrpo.comparison.panels import plain

PAGE, CONTENT = "leaderboard.html", "leaderboard.json"

Rates = Mapping[tuple[str, str], Mapping[float, float]]
"""By (task, arm) and learning rate."""

CAPTIONS = {
    "front": "Up and to the right is better in both. A cross is the interval over runs; arms with a black rim are on "
    "the front.",
    "differences": "Arms whose interval does not reach the line differ from the baseline on this task. They are filled "
    "when that holds after Holm's correction over the arms.",
    "profiles": "A curve above another one is better at every level.",
}


def content_of(found: Leaderboard) -> dict[str, Any]:
    """The leaderboard as plain values: (base, seed) and ranks as text, and whether each difference is decided."""
    content = asdict(found)
    for board, shown in zip(found.boards, content["boards"], strict=True):
        for standing, own in zip(board.standings, shown["standings"], strict=True):
            own["rank"] = standing.rank
            for name, entry in standing.entries.items():
                values = {f"{base}, seed {seed}": value for (base, seed), value in entry.values.items()}
                own["entries"][name] |= {"values": values, "decided": entry.decided(found.level)}
    return plain(content)


def write_page(found: Leaderboard, rates: Rates, figures: Sequence[Path], folder: Path) -> Path:
    """`leaderboard.html`, with the figures in it."""
    environment = Environment(
        loader=PackageLoader("rsgrpo.analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value, sign="": "" if value is None else number(value, sign)
    content = content_of(found)
    names = list(dict.fromkeys(name for b in content["boards"] for s in b["standings"] for name in s["entries"]))
    runs = sum(standing.runs for board in found.boards for standing in board.standings if not standing.is_base)
    page = environment.get_template(PAGE).render(
        **content,
        title=f"Which objective explores: {', '.join(board.task for board in found.boards)}",
        subtitle=f"{runs} runs against {found.baseline}",
        names=names,
        said=[sentence for board in found.boards for sentence in sentences(board, found)],
        figures=[{"svg": Markup(_svg(file)), "caption": CAPTIONS[file.stem]} for file in figures],
        rates=rates,
        every_rate=sorted({rate for own in rates.values() for rate in own}),
        legend=legend(found),
    )
    file = folder / PAGE
    file.write_text(page, encoding="utf-8")
    return file


def _svg(figure: Path) -> str:
    """The drawing itself, without the head of its file."""
    text = figure.with_suffix(".svg").read_text(encoding="utf-8")
    return text[text.index("<svg") :]


def sentences(board: Board, found: Leaderboard) -> list[str]:
    """What is decided on a task against the baseline, in AUC, pass@1 and pass@k."""
    said = []
    for name in (f"auc@{found.k}", "pass@1", f"pass@{found.k}"):
        trained = [
            s for s in board.standings if not s.is_base and s.arm != found.baseline and s.entries[name].difference
        ]
        ways: dict[str, list[str]] = {"higher": [], "lower": [], "": []}
        for standing in trained:
            one = standing.entries[name].difference
            assert one is not None
            decided = standing.entries[name].decided(found.level)
            text = f"{standing.arm} ({number(one.estimate, '+')})" if decided else standing.arm
            ways[("higher" if one.estimate > 0 else "lower") if decided else ""].append(text)
        parts = [f"{way} than {found.baseline}: {', '.join(arms)}" for way, arms in ways.items() if arms and way]
        if ways[""]:
            parts.append(f"not decided: {', '.join(ways[''])}")
        if parts:
            said.append(f"{board.task}, {name}: {'; '.join(parts)}.")
    return said


def legend(found: Leaderboard) -> list[str]:
    """What the columns are."""
    k, level = found.k, f"{found.level:.0%}"
    return [
        f"auc@{k}: the area under pass@k over log k, from 1 to {k}: a mean of pass@k in which every doubling counts "
        "the same.",
        f"Means with Student's {level} interval over runs, each a (base, seed). Differences are paired by base and "
        "seed; coloured: beyond noise after Holm's correction over the arms.",
        "Rank: the places in the first score that an arm may have, by which others are better or worse beyond noise "
        f"(all pairs of arms, Holm). *: no other arm is better in both pass@1 and pass@{k}.",
        "solved: the share of the training problems that were solved at least once in training.",
        f"distinct@{k}: the expected number of different right answers among {k} completions.",
        f"kept@{k}: the share of the problems that the base solves with {k} completions which the trained policy "
        f"solves, too; gained@{k}: the share of those that it solves which the base does not. Both less what the base "
        "gives against itself, so that 0 is no change.",
        "entropy: of the policy at the end of training, in nats per token. tokens: the mean length of a completion. "
        "seconds: of one core, for a run.",
    ]

"""What `task=score` found, made from its run folder alone."""

from collections import Counter
from pathlib import Path

from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.tables import plain_table, whole_width


def print_scores(run: Path, seconds: float, console: Console) -> None:
    """How many were right, what was wrong with the others, and disagreements with an expected verdict."""
    records = run_folder.read(run / run_folder.SCORES)
    parts: Counter[str] = Counter()
    for record in records:
        parts.update(name for name, value in record["parts"].items() if value)
    correct = sum(record["correct"] for record in records)
    table = plain_table(
        title=f"{len(records):,} responses, {len(records) / seconds:,.0f} per second",
        caption=f"mean value {sum(record['value'] for record in records) / len(records):.4f}",
    )
    table.add_column("verdict")
    for column in ("responses", "share"):
        table.add_column(column, justify="right")
    for name, count in [("correct", correct), *parts.most_common()]:
        table.add_row(name, f"{count:,}", f"{count / len(records):.1%}")
    whole_width(console, table)
    labelled = [record for record in records if "expected" in record]
    if labelled:
        others = [str(record["id"]) for record in labelled if record["value"] != record["expected"]]
        differ = f"; these differ: {', '.join(others)}" if others else ""
        agree = f"{len(labelled) - len(others)} of {len(labelled)} are as expected{differ}"
        console.print(agree, soft_wrap=True, highlight=False)
    console.print(f"run folder: {run}", soft_wrap=True, highlight=False)

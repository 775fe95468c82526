"""What all tables share: their dress, and how they are printed."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

WIDEST = 1000
"""Columns that no table needs."""


def plain_table(title: str, caption: str, **options: Any) -> Table:
    """A table with its title above and what its columns mean below."""
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=caption,
        caption_justify="left",
        **options,
    )


def whole_width(console: Console, table: Table) -> None:
    """Print a table without cutting a number off: a narrow terminal wraps the lines instead."""
    console.width = max(console.width, Console(width=WIDEST).measure(table).maximum)
    console.print(table)

"""What all tables share: how they are printed."""

from rich.console import Console
from rich.table import Table

WIDEST = 1000
"""Columns that no table needs."""


def whole_width(console: Console, table: Table) -> None:
    """Print a table without cutting a number off: a narrow terminal wraps the lines instead."""
    console.width = max(console.width, Console(width=WIDEST).measure(table).maximum)
    console.print(table)

"""What all tables share: their style, and how they are printed."""

import os
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

WIDEST = 1000
"""Columns that no table needs."""


IN_A_PIPE = 120
"""Columns of what goes to no terminal."""


def wide_console(*, stderr: bool = False) -> Console:
    """For wide tables: as wide as the terminal or `COLUMNS`, and 120 columns where it goes to a file or a pipe."""
    console = Console(stderr=stderr)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=IN_A_PIPE, stderr=stderr)


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
    """Print a table without cutting a number off: what a narrow terminal has no room for goes on below.

    Columns that do not fit follow in further blocks, each beginning with the first column, which names the rows.
    """
    blocks = _blocks(table, console.width)
    title, caption = table.title, table.caption
    for block in blocks:
        block.title = title if block is blocks[0] else None
        block.caption = None
        needed = _width(block)
        wide = console if needed <= console.width else Console(file=console.file, width=needed)
        wide.print(block)
    if caption:
        console.print(caption, style="table.caption", highlight=False)


def _blocks(table: Table, width: int) -> list[Table]:
    """The table in as few blocks as fit a terminal of this width, at least one column beside the first in each."""
    if _width(table) <= width:
        return [table]
    first, *others = table.columns
    blocks: list[list[Column]] = []
    for column in others:
        if blocks and _width(_of(table, [first, *blocks[-1], column])) <= width:
            blocks[-1].append(column)
        else:
            blocks.append([column])
    return [_of(table, [first, *columns]) for columns in blocks]


def _of(table: Table, columns: Sequence[Column]) -> Table:
    """The rows of a table in some of its columns."""
    block = plain_table("", "")
    for column in columns:
        block.add_column(column.header, justify=column.justify, no_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        block.add_row(*cells)
    return block


def _width(table: Table) -> int:
    """What its columns take."""
    return Console(width=WIDEST).measure(table).maximum

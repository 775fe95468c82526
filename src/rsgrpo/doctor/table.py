"""The doctor's table: checks that are run one after another, a row for each, and the cures of those that failed."""

import faulthandler
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rsgrpo.analysis.tables import plain_table, whole_width
from rsgrpo.errors import UserError

State = Literal["ok", "FAILED", "not here", "skipped"]


class Result(NamedTuple):
    """What a check has found."""

    measured: str
    bound: str = ""
    ok: bool = True
    cure: str = ""
    """A better one than that of the check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the table."""

    name: str
    run: Callable[[], Result]
    cure: str = ""
    """What to do where it fails."""
    needs: str = ""
    """What this machine or run lacks for it, in words; empty where it can be checked."""
    after: str = ""
    """The check that has to be ok for this one to mean anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A check and what came of it."""

    name: str
    state: State
    measured: str = ""
    bound: str = ""
    cure: str = ""
    trace: str = ""


@dataclass(slots=True, kw_only=True)
class Checks:
    """The checks one after another; an exception fails its own row and those that build on it."""

    title: str
    seconds: float
    """No check starts later than this."""
    limit: float
    """Seconds after which the process ends, whatever is running."""
    rows: list[Row] = field(default_factory=list)
    running: str = ""
    started: float = field(default_factory=time.monotonic)

    def run(self, checks: Sequence[Check]) -> None:
        """Fill `rows`, and say on standard error how far it is: a crash would take the table with it."""
        for check in checks:
            self.running = check.name
            row = self._row(check)
            self.rows.append(row)
            elapsed = time.monotonic() - self.started
            print(f"{elapsed:6.1f} s  {row.name}: {row.state} {row.measured}", file=sys.stderr, flush=True)

    def _row(self, check: Check) -> Row:
        if check.needs:
            return Row(name=check.name, state="not here", measured=f"needs {check.needs}")
        if time.monotonic() - self.started >= self.seconds:
            return Row(name=check.name, state="skipped", measured="no time left")
        if check.after and not any(row.name == check.after and row.state == "ok" for row in self.rows):
            return Row(name=check.name, state="skipped", measured=f"without '{check.after}'")
        try:
            result = check.run()
        except Exception as error:
            words = str(error).partition("\n")[0] or "without a word"
            return Row(
                name=check.name,
                state="FAILED",
                measured=words if isinstance(error, UserError) else f"{type(error).__name__}: {words}",
                cure=check.cure,
                trace="" if isinstance(error, UserError) else traceback.format_exc(),
            )
        cure = "" if result.ok else (result.cure or check.cure)
        state: State = "ok" if result.ok else "FAILED"
        return Row(name=check.name, state=state, measured=result.measured, bound=result.bound, cure=cure)

    def out_of_time(self) -> None:
        """End the process from another thread, with the table of what there is: what runs may never return."""
        faulthandler.dump_traceback(all_threads=True)
        self.rows.append(Row(name=self.running, state="FAILED", measured=f"still running after {self.limit:.0f} s"))
        self.show(Console())
        for child in multiprocessing.active_children():
            child.kill()
        sys.stdout.flush()
        os._exit(1)

    def content(self) -> dict[str, Any]:
        """The rows, for a file."""
        return {
            "rows": [
                {"check": r.name, **{n: getattr(r, n) for n in ("state", "measured", "bound", "cure")}}
                for r in self.rows
            ]
        }

    def show(self, console: Console) -> None:
        """The table, tracebacks below it, and a sentence that counts."""
        table: Table = plain_table(self.title, "")
        for column in ("check", "measured", "bound", "result"):
            table.add_column(column)
        for row in self.rows:
            style = {"ok": "green", "FAILED": "bold red"}.get(row.state, "dim")
            table.add_row(row.name, Text(row.measured), row.bound, Text(row.state, style))
        whole_width(console, table)
        for row in self.rows:
            if row.cure:
                console.print(f"{row.name}: {row.cure}", markup=False, highlight=False, soft_wrap=True)
        for row in self.rows:
            if row.trace:
                console.print(f"{row.name}:\n{row.trace}", markup=False, highlight=False, soft_wrap=True)
        counts = {state: sum(row.state == state for row in self.rows) for state in ("ok", "FAILED", "skipped")}
        not_here = sum(row.state == "not here" for row in self.rows)
        console.print(
            f"{counts['ok']} ok, {counts['FAILED']} failed, {counts['skipped']} skipped, {not_here} not here; "
            f"{time.monotonic() - self.started:.0f} s",
            highlight=False,
        )

    @property
    def failed(self) -> bool:
        """Whether a check failed, or one had no time: nothing is known of that."""
        return any(row.state in ("FAILED", "skipped") for row in self.rows)


@contextmanager
def limited(checks: Checks) -> Iterator[None]:
    """Inside, the process ends after the limit of `checks`."""
    timer = threading.Timer(checks.limit, checks.out_of_time)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

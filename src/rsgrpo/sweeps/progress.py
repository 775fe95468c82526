"""What a sweep shows while its jobs run: a line for each of them, read from their folders, whatever started them."""

import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rsgrpo import run_folder
from rsgrpo.sweeps.standing import Pace, Standing, lines_of, reason, standing_of

LOOK_S = 1.0
"""How often the folders are looked into."""

TELL_S = 60.0
"""How often the lines are printed where there is no terminal."""


STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of runs that were asked to stop, and have saved."""


class Watch:
    """Shows how far the jobs are until it is left: live on a terminal, elsewhere now and then, and how each ended."""

    def __init__(
        self,
        sweep: Path,
        jobs: Sequence[Mapping[str, Any]],
        finished: Sequence[int],
        *,
        places: int,
        console: Console | None = None,
    ) -> None:
        """Nothing is shown before it is entered.

        Args:
            sweep: the folder of the sweep.
            jobs: those of `sweep.json`.
            finished: the numbers of those that were finished before.
            places: how many run at once.
            console: where it is shown, on standard error unless given.
        """
        self.sweep, self.jobs, self.finished, self.places = sweep, jobs, set(finished), places
        self.pace = Pace({})
        self.console = console or Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self._told: set[int] = set()
        self._told_at = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        if self.console.is_terminal:
            self.live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self.console.is_terminal:
            self.live.stop()

    def standings(self) -> list[Standing]:
        """How far each job is now."""
        return [
            Standing(number=job["number"], name=Path(job["run"]).name, done=1.0, doing="")
            if job["number"] in self.finished
            else standing_of(self.sweep, job)
            for job in self.jobs
        ]

    def _look(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._over.wait(LOOK_S)
            self.show(self.standings(), is_over=is_over)

    def show(self, jobs: Sequence[Standing], *, is_over: bool = False) -> None:
        """Show how far the jobs are, and say of each that has ended how it did."""
        now = time.time()
        ended = [job for job in jobs if job.ended is not None and job.number not in self._told]
        for job in ended:
            self._told.add(job.number)
            self._say(self._end_of(job))
        waiting = [job for job in jobs if job.number not in self.finished]
        lines = lines_of(jobs, self.pace.left(waiting, places=self.places, now=now))
        if self.console.is_terminal:
            self.live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
        elif not is_over and len(lines) > 1 and (ended or now - self._told_at >= TELL_S):
            self._told_at = now
            for line in lines:
                self._say(line)

    def _end_of(self, job: Standing) -> str:
        run = next(Path(other["run"]) for other in self.jobs if other["number"] == job.number)
        if not job.has_failed:
            return f"finished: {job.name}"
        if job.code in STOPPED:
            return f"stopped: {job.name}"
        why = (job.why or reason(job.code, run / run_folder.OUTPUT)).removeprefix("error: ")
        return f"failed: {job.name}: {why}"

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)

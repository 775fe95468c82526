"""`python run.py task=bench bench=quick`: which objective explores, on tasks where that decides, with intervals."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rsgrpo import run_folder
from rsgrpo.analysis.bench_figures import draw_bench
from rsgrpo.analysis.bench_markdown import MARKDOWN, markdown
from rsgrpo.analysis.bench_page import CONTENT, content_of, write_page
from rsgrpo.analysis.bench_table import print_leaderboard
from rsgrpo.analysis.durations import in_words
from rsgrpo.analysis.tables import wide_console
from rsgrpo.bench.cells import Cell, Kind
from rsgrpo.bench.jobs import Ended, Job, Running, run_jobs
from rsgrpo.bench.leaderboard import leaderboard
from rsgrpo.bench.queue import Queue
from rsgrpo.bench.records import Records, Settings, hash_of_settings, record_of, still_true
from rsgrpo.bench.reproduction import band, difference
from rsgrpo.bench.scores import score_named
from rsgrpo.command_line.arguments import line_of_job
from rsgrpo.command_line.sweep import USER_ERROR
from rsgrpo.composition.bench import arms_of, bench_settings, checked_settings, settings_of, words_of
from rsgrpo.composition.machine import check_run_folder
from rsgrpo.errors import UserError
from rsgrpo.objectives.base import DEFINED_FOR

KNOWN = Path(run_folder.__file__).parents[1] / "results"
"""The records that come with rsgrpo."""

EVERY_S = 1.0
"""Between two looks at the runs."""

TELL_S = 60.0
"""Between two lines on the runs that go on, where there is no terminal."""


def bench(cfg: DictConfig) -> None:
    """Run what is not finished, write down each run as it ends, and show the leaderboard.

    Raises:
        UserError: for a mistake in the configuration, and at the end when runs have failed.
    """
    settings = bench_settings(cfg)
    arms = arms_of(settings)
    folder = Path(HydraConfig.get().runtime.output_dir)
    check_run_folder(folder, resumes=True)
    records = folder / "records" if settings.records is None else Path(settings.records).expanduser()
    own, known = Records(records / settings.ground), Records(KNOWN / settings.ground)
    kinds = checked_settings(settings, arms)
    places = [known, own] if settings.known and own.folder.resolve() != known.folder.resolve() else [own]
    finished = [record for place in places for record in still_true(place, kinds, settings.baseline)]
    queue = Queue(settings=settings, arms=arms, records={record.cell.name: record for record in finished})
    _Bench(queue=queue, folder=folder, own=own, kinds=kinds).run()
    if queue.reported():
        _show(queue, folder)
    elif queue.undefined and not queue.failed:
        raise UserError(f"the bench has nothing to show: {next(iter(queue.undefined.values()))}")
    if settings.claim is not None and not queue.failed:
        _check_claim(queue, settings.claim)
    if queue.failed:
        why = next(why for name, why in queue.failed.items())
        count = "1 run" if len(queue.failed) == 1 else f"{len(queue.failed)} runs"
        raise UserError(f"{count} of the bench failed, {why}; the same words run what failed again")


def _show(queue: Queue, folder: Path) -> None:
    settings, undefined = queue.settings, dict[str, dict[str, str]]()
    for (task, arm), why in queue.undefined.items():
        undefined.setdefault(task, {})[arm] = why
    found = leaderboard(queue.reported(), baseline=settings.baseline, k=settings.k, undefined=undefined)
    run_folder.write_json(folder / CONTENT, content_of(found))
    (folder / MARKDOWN).write_text(markdown(found, queue.rates()), encoding="utf-8")
    page = write_page(found, queue.rates(), draw_bench(found, folder), folder)
    console = wide_console()
    print_leaderboard(found, queue.rates(), console)
    console.print(f"open {page}", soft_wrap=True, highlight=False, markup=False)


def _check_claim(queue: Queue, arm: str) -> None:
    """Hold the reported runs against the committed ones, those of other pairs.

    Raises:
        UserError: when there are too few committed runs.
        SystemExit: with 1, when the difference lies outside the band.
    """
    settings, pairs = queue.settings, {tuple(pair) for pair in queue.settings.pairs}
    reported, score = queue.reported(), score_named(queue.settings.claimed)
    new = [record for record in reported if (record.base, record.seed) in pairs]
    committed = [record for record in reported if (record.base, record.seed) not in pairs]
    expected = band(committed, settings.tasks, arm, settings.baseline, score, len(pairs))
    seen = difference(new, settings.tasks, arm, settings.baseline, score)
    holds = expected.low <= seen <= expected.high
    said = [
        f"{settings.claimed} of {arm} minus {settings.baseline} on {', '.join(settings.tasks)}: {seen:+.3f}, "
        f"{'inside' if holds else 'OUTSIDE'} of [{expected.low:+.3f}, {expected.high:+.3f}]",
        f"{len(pairs)} runs of each lie inside with a chance of 99 %, by {expected.committed} committed ones "
        f"({expected.expected:+.3f}); {settings.baseline} against itself lies outside with {expected.rejected:.1%}",
    ]
    wide_console().print("\n".join(said), soft_wrap=True, highlight=False)
    if not holds:
        raise SystemExit(1)


@dataclass(slots=True, kw_only=True)
class _Bench:
    """The runs of a bench, from the first to the last."""

    queue: Queue
    folder: Path
    own: Records
    kinds: Mapping[Kind, Settings]
    cells: dict[str, Cell] = field(default_factory=dict)
    """Those that have been started, by the name of their job."""

    def run(self) -> None:
        """Run what is left, side by side."""
        total, settings = self.queue.left(), self.queue.settings
        if not total:
            return
        at_once = settings.jobs or len(os.sched_getaffinity(0))
        console, done, looked = wide_console(stderr=True), 0, time.monotonic()
        arms = ", ".join(dict.fromkeys(cell.arm.name for cell in self.queue.open()))
        tasks = ", ".join(settings.tasks)
        rates = f"{len(settings.rates)} learning rates and " if len(settings.rates) > 1 else ""
        _say(
            console,
            f"{total} runs are left, of {rates}{len(settings.pairs)} pairs of a base and a seed for each of {arms} on "
            f"{tasks}; {at_once} at a time: about {self._left(at_once)}; Ctrl-C stops, and the same words go on",
        )
        _say(console, f"what they print is in {self.folder / 'output'}")
        with Live(console=console, auto_refresh=False, transient=True) as live:

            def tell(running: Sequence[Running]) -> None:
                nonlocal looked
                now = time.monotonic()
                if now - looked < (EVERY_S if console.is_terminal else TELL_S):
                    return
                looked = now
                left = self._left(at_once, [now - one.begun for one in running])
                lines = [f"run {done + 1}/{total}, {left} left"]
                lines += [f"  {one.job.name}  {one.progress()}" for one in running]
                if console.is_terminal:
                    live.update(Text("\n".join(lines)), refresh=True)
                else:
                    _say(console, "\n".join(lines))

            def stopping(count: int) -> None:
                _say(console, f"stopping: {count} runs finish their iteration and save; the same words go on")

            for ended in run_jobs(self._next, at_once=at_once, tell=tell, stopping=stopping):
                said, done = self._take_up(ended), done + 1
                total = max(total, done + self.queue.left())
                left = f"  {self._left(at_once)} left" if done < total else ""
                _say(console, f"run {done}/{total}  {ended.job.name}  {said}{left}")

    def _left(self, at_once: int, under_way: Sequence[float] = ()) -> str:
        return in_words(self.queue.seconds_left(at_once, under_way))

    def _next(self) -> Job | None:
        cell = self.queue.take()
        if cell is None:
            return None
        own = line_of_job().own
        flags = [] if own is None else [f"--config-dir={own}"]
        name = f"{cell.name}_{hash_of_settings(self.kinds[cell.kind])[:6]}"  # other settings, another folder
        self.cells[name] = cell
        return Job(
            name=name,
            words=[*flags, *words_of(cell, self.queue.settings)],
            folder=self.folder / "runs" / name,
            output=self.folder / "output" / f"{name}.txt",
        )

    def _take_up(self, ended: Ended) -> str:
        """Note what became of a run; returns it in words."""
        queue, cell = self.queue, self.cells[ended.job.name]
        queue.durations.append(ended.seconds)
        if ended.code == 0:
            settings = self.kinds[cell.kind]
            if settings_of(run_folder.read_config(ended.job.folder)) != settings:
                raise UserError(f"{ended.job.folder} holds a run with other settings; move it away")
            record = record_of(ended.job.folder, cell, queue.settings.k, settings=hash_of_settings(settings))
            self.own.add(record, settings)
            queue.records[cell.name] = record
            return f"pass@1 {record.accuracy:.3f}  {ended.seconds:.0f} s"
        said = ended.said()
        if ended.code == USER_ERROR and DEFINED_FOR in said:
            queue.undefined[cell.task, cell.arm.name] = said.removeprefix("error: ")
        else:
            queue.failed[cell.name] = (
                f"{cell.name} with exit code {ended.code} ({said}); its output: {ended.job.output}"
            )
        return f"failed: {said}"


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, soft_wrap=True, highlight=False, markup=False)

"""A sweep, from its command line to the end of its last job."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsgrpo import run_folder
from rsgrpo.command_line import program
from rsgrpo.command_line.arguments import CommandLine
from rsgrpo.command_line.begun import Begun
from rsgrpo.command_line.quoting import quoted
from rsgrpo.command_line.resume import AUTO, OUTPUTS, begun_runs
from rsgrpo.command_line.sweep import Sweep
from rsgrpo.errors import UserError
from rsgrpo.sweeps.checks import Checked, checked
from rsgrpo.sweeps.farm import SWEEP
from rsgrpo.sweeps.jobs import jobs_of
from rsgrpo.sweeps.launchers import Launching, launching_of, room_for, words_of_hydra
from rsgrpo.sweeps.progress import Watch
from rsgrpo.sweeps.records import JOBS, STOP, ask_to_stop, is_held, is_running, read_record, record_of, this_process
from rsgrpo.sweeps.standing import Standing, last_line

SWEEP_DIR = "hydra.sweep.dir"

USER_ERROR = 2
"""Exit code of a job that was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A sweep whose jobs can begin."""

    line: CommandLine
    launching: Launching | None
    """None: the jobs take turns in this process."""
    jobs: tuple[Checked, ...]
    begun: tuple[Begun | None, ...]
    """The run that each of them goes on with, or that has done its work, with `ckpt=auto`."""
    resumes: bool
    """Whether `ckpt=auto` was given."""

    @property
    def folder(self) -> Path:
        """Of the sweep."""
        return self.jobs[0].sweep

    @property
    def runs(self) -> list[Path]:
        """The folder of each job's run."""
        return [job.folder if begun is None else begun.run for job, begun in zip(self.jobs, self.begun, strict=True)]

    @property
    def finished(self) -> list[int]:
        """The numbers of the jobs that were finished before."""
        return [n for n, begun in enumerate(self.begun) if begun is not None and begun.finished is not None]

    @property
    def words(self) -> list[str]:
        """For Hydra, where the jobs take turns."""
        words = [word for word in self.line.words if not word.startswith(f"{SWEEP_DIR}=")]
        return [*words, f"{SWEEP_DIR}={quoted(str(self.folder))}"]


def prepare(line: CommandLine) -> Prepared | None:
    """Compose and check every job; None for a sweeper of Hydra's that makes up its jobs as it goes.

    Raises:
        UserError: for the first job that is refused, and for a launcher that cannot start them.
    """
    if any(o.key_or_group.startswith(("hydra.sweeper", "hydra/sweeper")) for o in line.overrides):
        return None
    launching = launching_of(line)
    jobs = checked(line, jobs_of(line), here=launching is None or launching.here)
    resumes = any(word == f"ckpt={AUTO}" for word in jobs[0].job.words)
    if resumes and all(job.trains for job in jobs):
        jobs = _in_their_sweep(line, jobs)
        begun = _begun(jobs)
    else:
        begun = [None] * len(jobs)
    return Prepared(line=line, launching=launching, jobs=tuple(jobs), begun=tuple(begun), resumes=resumes)


def _in_their_sweep(line: CommandLine, jobs: Sequence[Checked]) -> list[Checked]:
    """The jobs in the folder of the newest sweep that had the very same ones, unless another folder was named."""
    if any(override.key_or_group == SWEEP_DIR for override in line.overrides):
        return list(jobs)
    hashes = [job.config_hash for job in jobs]
    files = sorted(OUTPUTS.glob(f"*/{run_folder.SWEEP}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in files:
        described = run_folder.read_json(file)
        if [job.get("config_hash") for job in described.get("jobs", [])] == hashes:
            sweep = file.parent.resolve()
            return [job.moved(sweep) for job in jobs]
    return list(jobs)


def _begun(jobs: Sequence[Checked]) -> list[Begun | None]:
    """The run of each job, none for two of them."""
    runs = begun_runs(jobs[0].sweep)
    found: list[Begun | None] = []
    for job in jobs:
        begun = runs.find(job.config_hash, job.settings)
        found.append(begun)
        if begun is not None:
            runs.runs = [run for run in runs.runs if run != begun.run]
    return found


def write_plan(prepared: Prepared, places: Sequence[str | None] | None) -> dict[str, Any]:
    """Write down the jobs of a sweep and how they are started."""
    jobs = [
        {
            "number": job.job.number,
            "words": [word for word in job.job.words if not word.startswith("ckpt=")],
            "run": str(run),
            "config_hash": job.config_hash,
            "iterations": job.iterations,
            "threads": job.threads,
        }
        for job, run in zip(prepared.jobs, prepared.runs, strict=True)
    ]
    of_jobs = [str(o.input_line) for o in prepared.line.overrides if o.key_or_group == "hydra.searchpath"]
    plan = {
        "launcher": None if prepared.launching is None else prepared.launching.name,
        "program": program.started_again(),
        "flags": [flag for flag in prepared.line.flags if flag != "--multirun"] + of_jobs,
        "directory": str(Path.cwd()),
        "ends_with": this_process() if prepared.launching is not None and prepared.launching.here else None,
        "resumes": prepared.resumes,
        "places": None if places is None else list(places),
        "jobs": jobs,
    }
    named = any(override.key_or_group == SWEEP_DIR for override in prepared.line.overrides)
    try:
        prepared.folder.mkdir(parents=True, exist_ok=named or prepared.resumes)
    except FileExistsError:
        raise UserError(
            f"sweep folder {prepared.folder} was taken by another sweep; start again, or choose another with "
            f"{SWEEP_DIR}=..."
        ) from None
    run_folder.write_json(prepared.folder / run_folder.SWEEP, plan)
    return plan


def run_in_turn(line: CommandLine, prepared: Prepared | None, main: Callable[[], None], state: Sweep) -> None:
    """Have Hydra run one job after another in this process, unless a sweeper of its own wants it otherwise."""
    if prepared is None:
        sys.argv[1:] = [*line.words, *words_of_hydra(line)]
    else:
        state.swept = [" ".join(job.job.swept) for job in prepared.jobs]
        state.finished = prepared.finished
        write_plan(prepared, None)
        sys.argv[1:] = prepared.words
    main()


def run_beside(prepared: Prepared, state: Sweep) -> None:
    """Have a launcher run the jobs, each a process of its own, and note those that failed."""
    for standing, job, run in zip(launch(prepared), prepared.jobs, prepared.runs, strict=True):
        if standing.number not in prepared.finished and standing.code != 0:
            state.note(standing.number, job.job.words, run)
            state.has_bug |= standing.code != USER_ERROR
    state.jobs = len(prepared.jobs)


def launch(prepared: Prepared) -> list[Standing]:
    """Have the launcher start the jobs that are not finished, and wait for them; returns what has become of all.

    Raises:
        UserError: when some of them run already.
        KeyboardInterrupt: when Ctrl-C was pressed, once the jobs have saved.
    """
    launching = prepared.launching
    assert launching is not None
    further, places = room_for(launching, prepared.jobs)
    todo = {number: run for number, run in enumerate(prepared.runs) if number not in prepared.finished}
    _take_up(prepared.folder, todo)
    plan = write_plan(prepared, places)
    at_once = len(todo) if places is None else len(places)
    watch = Watch(prepared.folder, plan["jobs"], prepared.finished, places=at_once)
    for number in prepared.finished:
        print(f"ckpt=auto: finished before: {prepared.runs[number]}", file=sys.stderr)
    if todo:
        told = f"{len(todo)} of {len(plan['jobs'])} jobs" if prepared.finished else f"{len(todo)} jobs"
        print(
            f"{told} by launcher={launching.name}, output in {run_folder.OUTPUT} of each: {prepared.folder}",
            file=sys.stderr,
        )
        with watch:
            _launched(prepared, launching, further, list(todo))
    return watch.standings()


def _take_up(folder: Path, todo: Mapping[int, Path]) -> None:
    """Forget what an earlier sweep in this folder says of the jobs that are to begin; `todo` has their runs by number.

    Raises:
        UserError: when one of them runs.
    """
    for number, run in todo.items():
        if is_running(folder, number) or is_held(run):
            record = read_record(folder, number)
            by = "" if record is None else f" (process {record.get('pid')} on {record.get('host')})"
            raise UserError(f"job {number} is running already, in {run}{by}; wait for it, or stop it")
    for file in (folder / JOBS / STOP, *(record_of(folder, number) for number in todo)):
        file.unlink(missing_ok=True)


def _launched(prepared: Prepared, launching: Launching, further: Sequence[str], todo: Sequence[int]) -> None:
    """Hand the numbers of the jobs to Hydra's launcher, as values of a sweep over `job`, and wait for it.

    Raises:
        KeyboardInterrupt: when Ctrl-C was pressed, once the jobs on this machine have saved.
    """
    flags = [flag for flag in prepared.line.flags if flag.startswith("--config-dir=")]
    sweep = quoted(str(prepared.folder))
    words = [*launching.words, *further, f"sweep={sweep}", f"{SWEEP_DIR}={sweep}", f"job={','.join(map(str, todo))}"]
    farm = [sys.executable, "-P", "-m", "rsgrpo.sweeps.farm", str(prepared.line.conf.absolute()), "--multirun"]
    said = prepared.folder / JOBS / "launcher.txt"
    said.parent.mkdir(exist_ok=True)
    with (
        said.open("ab") as output,
        subprocess.Popen(
            [*farm, *flags, *words],
            env={**os.environ, SWEEP: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait()
        except KeyboardInterrupt:
            _stop(process, prepared.folder, launching)
            raise
    if code != 0:
        print(f"error: launcher={launching.name} has failed: {last_line(said)} ({said})", file=sys.stderr)


def _stop(farm: subprocess.Popen[bytes], folder: Path, launching: Launching) -> None:
    """Have the jobs on this machine finish their iteration and save; those elsewhere go on. Another Ctrl-C ends it."""
    if launching.here:
        print("stopping: each job finishes its iteration and saves; Ctrl-C again waits no longer", file=sys.stderr)
        ask_to_stop(folder)
        try:
            farm.wait()
        finally:
            farm.terminate()
    else:
        print(f"the jobs that launcher={launching.name} has started go on; stop them where they run", file=sys.stderr)
        farm.terminate()

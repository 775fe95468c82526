"""A sweep that is prepared, until its last job has ended: in turn in this process, or beside it by a launcher."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rsgrpo import run_folder
from rsgrpo.command_line.arguments import CommandLine
from rsgrpo.command_line.quoting import quoted
from rsgrpo.command_line.resume import AUTO
from rsgrpo.command_line.sweep import USER_ERROR, Sweep
from rsgrpo.errors import UserError
from rsgrpo.sweeps.farm import SWEEP
from rsgrpo.sweeps.launchers import Launching, room_for, words_of_hydra
from rsgrpo.sweeps.prepared import SWEEP_DIR, Prepared, write_plan
from rsgrpo.sweeps.progress import Watch
from rsgrpo.sweeps.records import JOBS, STOP, ask_to_stop, is_held, is_running, read_record, record_of
from rsgrpo.sweeps.standing import Standing, last_line


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
    take_up(prepared.folder, todo)
    plan = write_plan(prepared, places)
    at_once = len(todo) if places is None else len(places)
    watch = Watch(prepared.folder, plan["jobs"], prepared.finished, places=at_once)
    for number in prepared.finished:
        print(f"ckpt={AUTO}: finished before: {prepared.runs[number]}", file=sys.stderr)
    if todo:
        told = f"{len(todo)} of {len(plan['jobs'])} jobs" if prepared.finished else f"{len(todo)} jobs"
        print(
            f"{told} by launcher={launching.name}, output in {run_folder.OUTPUT} of each: {prepared.folder}",
            file=sys.stderr,
        )
        with watch:
            _launched(prepared, launching, further, list(todo))
    return watch.standings()


def take_up(folder: Path, todo: Mapping[int, Path]) -> None:
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

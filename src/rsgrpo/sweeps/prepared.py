"""What a sweep is to do, before it does anything: its jobs, what starts them, and which have begun already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsgrpo import run_folder
from rsgrpo.command_line import program
from rsgrpo.command_line.arguments import CommandLine
from rsgrpo.command_line.begun import Begun
from rsgrpo.command_line.quoting import quoted
from rsgrpo.command_line.resume import AUTO, OUTPUTS, begun_runs, say
from rsgrpo.errors import UserError
from rsgrpo.sweeps.checks import Checked, checked
from rsgrpo.sweeps.jobs import jobs_of
from rsgrpo.sweeps.launchers import Launching, launching_of
from rsgrpo.sweeps.records import this_process

SWEEP_DIR = "hydra.sweep.dir"


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
        try:
            described = run_folder.read_json(file)
        except UserError as error:  # of another sweep, perhaps: it does not keep this one from its work
            say(f"ckpt={AUTO}: {error}; passed over")
            continue
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

"""From the shell to a task and back: a user's mistake is one sentence and exit code 2, a bug is a traceback."""

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_method
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rsgrpo import run_folder
from rsgrpo.command_line import program
from rsgrpo.command_line.arguments import CommandLine, line_of_job, read_command_line
from rsgrpo.command_line.composed import check_composed
from rsgrpo.command_line.errors import explain
from rsgrpo.command_line.moved import use_current_names
from rsgrpo.command_line.own_names import CONF, in_keys
from rsgrpo.command_line.resume import AUTO, NothingToDo, find_run_of_job, with_settings_of_run
from rsgrpo.command_line.supervision import follow_supervisor, is_supervised
from rsgrpo.command_line.sweep import FINISHED, USER_ERROR, JobFailed, Sweep, is_sweep
from rsgrpo.command_line.trust import check_targets
from rsgrpo.composition.machine import SAY_IT_THEMSELVES, check_machine, disk_refusals_are_told
from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError

_GIVEN: list[str] = []
"""The words that the user has typed; those of a resumed run are inserted among them."""

_SWEEP = Sweep()


def main() -> NoReturn:
    """Run the command line and leave with its exit code: what `run.py` and the command `rsgrpo` call."""
    follow_supervisor()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises, so that errors are explained in one place
    job = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run_task)
    ranks.exit_with(lambda: start(job, CONF))


def run_task(cfg: DictConfig) -> None:
    """Call the function that `task=` names; a run that wrote nothing leaves no folder behind.

    Raises:
        SystemExit: with `USER_ERROR`, after saying what the mistake was. Hydra would add a line of its own to any
            other exception.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    fresh = run.is_dir() and not any(run.iterdir())
    try:
        with program.nobody_may_read(), _SWEEP.turn(HydraConfig.get().job.num if is_sweep() else None):
            _call(cfg, run)
    except NothingToDo as said:
        print(said, file=sys.stderr)
    except Exception as error:
        if is_sweep() and not _wants_traceback():
            _SWEEP.fail(run, error)
            return
        if _wants_traceback() or not isinstance(error, UserError):
            raise
        others = "" if ranks.is_first() else f" on rank {os.environ.get('RANK', os.environ.get('LOCAL_RANK'))}"
        print(f"error{others}: {in_keys(error)}", file=sys.stderr)
        raise SystemExit(USER_ERROR) from None
    finally:
        if fresh and _holds_no_file(run):
            _leave_nothing(run)


def _call(cfg: DictConfig, run: Path) -> None:
    """Check what every task is given, and call it.

    Raises:
        UserError: for a mistake in the configuration, Hydra's exceptions among them.
    """
    try:
        is_job = is_sweep() or is_supervised()
        if is_job and cfg.ckpt == AUTO:
            find_run_of_job(cfg)
        use_current_names(cfg)
        check_composed(cfg, line_of_job())
        if cfg.ckpt not in (None, AUTO) and not is_job:  # the words of a job are all of the command line
            check_targets(cfg, _GIVEN, line_of_job().conf)
        if HydraConfig.get().runtime.choices["task"] not in SAY_IT_THEMSELVES:
            check_machine(cfg)  # before the imports of a task, which take seconds
        with disk_refusals_are_told(run):
            get_method(cfg.task._target_)(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, line_of_job())) from error


def _leave_nothing(run: Path) -> None:
    """Remove a run's folder that holds no file, and `outputs` if nothing else is in it."""
    shutil.rmtree(run)
    outputs = Path("outputs")
    if outputs.is_dir() and not any(outputs.iterdir()):
        outputs.rmdir()


def _leave_no_sweep(folder: Path) -> None:
    """Remove the folder of a sweep whose jobs have left nothing."""
    notes = {folder / "multirun.yaml", folder / run_folder.SWEEP}
    if folder.is_dir() and set(folder.iterdir()) <= notes:
        for note in notes:
            note.unlink(missing_ok=True)
        _leave_nothing(folder)


def start(main: Callable[[], None], conf: Path) -> int:
    """Run a Hydra main function with the settings of a resumed run put in; returns the exit code."""
    _GIVEN[:] = sys.argv[1:]
    line = CommandLine(flags=(), overrides=(), conf=conf, own=None)
    _SWEEP.is_here = True
    try:
        given = read_command_line(sys.argv[1:], conf)
        line = replace(read_command_line(with_settings_of_run(given.words), conf), launching=given.launching)
        if line.is_sweep:
            return _sweep(main, line)
        sys.argv[1:] = line.words
        with program.nobody_may_read():
            main()
    except NothingToDo as said:
        print(said, file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:
        if _wants_traceback() or not _is_mistake(error):
            raise
        print(f"error: {explain(error, line)}", file=sys.stderr)
        return USER_ERROR
    return 0


def _sweep(main: Callable[[], None], line: CommandLine) -> int:
    """Run a sweep, its jobs in turn by `main` or side by side, and compare its runs; returns the exit code."""
    from rsgrpo.sweeps.prepared import prepare  # composition and all, which take seconds
    from rsgrpo.sweeps.sweep import run_beside, run_in_turn

    prepared = prepare(line)
    if prepared is not None and prepared.launching is not None:
        with program.nobody_may_read():
            run_beside(prepared, _SWEEP)
    else:
        try:
            with program.nobody_may_read():
                run_in_turn(line, prepared, main, _SWEEP)
        except JobFailed as failed:  # in another process: Hydra raises the first of them once all have had their turn
            print(f"error: a job failed: {failed}", file=sys.stderr)
            return USER_ERROR
    folders = FINISHED if prepared is None else [prepared.folder]
    for folder in folders:
        found = folder.glob("*") if prepared is None else prepared.runs
        runs = sorted(run for run in found if (run / run_folder.DONE).exists())
        if len(runs) > 1:
            from rsgrpo.tasks.compare import compare_sweep  # scipy takes half a second

            compare_sweep(folder, runs)
        _leave_no_sweep(folder)
    return _SWEEP.close()


def _wants_traceback() -> bool:
    return bool(os.environ.get("RSGRPO_TRACEBACK"))


def _is_mistake(error: Exception) -> bool:
    """Whether an error is the user's: ours that says so, or any that Hydra meets before it calls the task."""
    if isinstance(error, UserError | HydraException | OmegaConfBaseException | yaml.YAMLError):
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(frame.f_code is run_task.__code__ for frame in frames):
        return False
    raised_by = str(frames[-1].f_globals.get("__name__", "")).split(".")[0]
    return isinstance(error, OSError) or raised_by in ("hydra", "omegaconf")


def _holds_no_file(folder: Path) -> bool:
    """Whether the folder exists and nothing but folders is in it."""
    return folder.is_dir() and all(path.is_dir() for path in folder.rglob("*"))

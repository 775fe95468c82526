"""From the shell to a task and back: a user's mistake is one sentence and exit code 2, a bug is a traceback."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rsgrpo.tasks.errors import check_choices, explain
from rsgrpo.tasks.machine import check_machine, disk_refusals_are_told
from rsgrpo.tasks.names import run_name
from rsgrpo.tasks.resume import AUTO, NothingToDo, find_run_of_job, with_settings_of_run
from rsgrpo.tasks.sweep import JobFailed, Sweep, is_sweep
from rsgrpo.tasks.trust import check_targets
from rsgrpo.training import ranks
from rsgrpo.types import UserError

USER_ERROR = 2
"""Exit code for a mistake in what was asked for."""

OmegaConf.register_new_resolver("run_name", run_name, replace=True)

_GIVEN: list[str] = []
"""The words that the user has typed: those of a resumed run are put among them."""

_SWEEP = Sweep()


def run_task(cfg: DictConfig) -> None:
    """Call the function that `task=` names; a run that wrote nothing leaves no folder behind.

    Raises:
        SystemExit: with `USER_ERROR`, after saying what the mistake was. Hydra would add a line of its own to any
            other exception.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    fresh = _is_empty(run)
    _SWEEP.jobs += 1
    try:
        if is_sweep() and cfg.ckpt == AUTO:
            find_run_of_job(cfg)
        if cfg.ckpt not in (None, AUTO) and not is_sweep():  # the words of a job are all of the command line
            check_targets(cfg, _GIVEN, _conf())
        check_machine(cfg)  # before the imports of a task, which take seconds
        with disk_refusals_are_told(run):
            get_method(cfg.task._target_)(cfg)
    except NothingToDo as said:
        print(said, file=sys.stderr)
    except Exception as error:
        if is_sweep() and not _wants_traceback():
            raise _SWEEP.failure(run, error) from None
        if _wants_traceback() or not isinstance(error, UserError):
            raise
        others = "" if ranks.is_first() else f" on rank {os.environ.get('RANK', os.environ.get('LOCAL_RANK'))}"
        print(f"error{others}: {error}", file=sys.stderr)
        raise SystemExit(USER_ERROR) from None
    finally:
        if fresh and _is_empty(run):
            _leave_nothing(run)


def _leave_nothing(run: Path) -> None:
    """Remove the empty folder that Hydra made for a run, and those above it that hold nothing else."""
    run.rmdir()
    sweep = run.parent / "multirun.yaml"
    if list(run.parent.iterdir()) == [sweep]:
        sweep.unlink()
        run.parent.rmdir()
    if _is_empty(Path("outputs")):
        Path("outputs").rmdir()


def start(main: Callable[[], None], conf: Path) -> int:
    """Run a Hydra main function with the settings of a resumed run put in; returns the exit code."""
    _GIVEN[:] = sys.argv[1:]
    try:
        check_choices(sys.argv[1:], conf)
        sys.argv[1:] = with_settings_of_run(sys.argv[1:])
        main()
    except NothingToDo as said:
        print(said, file=sys.stderr)
    except JobFailed:  # Hydra raises the first of them once all jobs have had their turn
        pass
    except (UserError, HydraException, OmegaConfBaseException, yaml.YAMLError, OSError) as error:
        if _wants_traceback() or (isinstance(error, OSError) and _from_task(error)):
            raise
        print(f"error: {explain(error, conf)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return _SWEEP.close(USER_ERROR)


def _wants_traceback() -> bool:
    return bool(os.environ.get("RSGRPO_TRACEBACK"))


def _from_task(error: Exception) -> bool:
    """Whether an error comes from the task itself, and not from what Hydra does before it."""
    return any(frame.name == run_task.__name__ for frame in traceback.extract_tb(error.__traceback__))


def _is_empty(folder: Path) -> bool:
    """Whether the folder exists and holds nothing."""
    return folder.is_dir() and not any(folder.iterdir())


def _conf() -> Path:
    """The folder of the configuration, as Hydra was told."""
    sources = HydraConfig.get().runtime.config_sources
    return Path(next(source.path for source in sources if source.provider == "main"))

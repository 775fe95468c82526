"""From the shell to a task and back: a user's mistake is one sentence and exit code 2, a bug is a traceback."""

import os
import re
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
from rsgrpo.tasks.machine import check_machine
from rsgrpo.tasks.resume import with_settings_of_run
from rsgrpo.training import ranks
from rsgrpo.types import UserError

USER_ERROR = 2
"""Exit code for a mistake in what was asked for."""

LONGEST_NAME = 100
"""Characters of a run folder's name that come from the command line."""


def run_name(task: str, objective: str, overrides: str) -> str:
    """The name of a run folder: its task unless it is training, its objective, and what was set on the command line.

    Overrides are separated by `;`. A task about several objectives shows one when it is named.

    >>> run_name("train", "rs_grpo", "objective.beta=4;data.path=/tmp/a b.jsonl;seed=1")
    'rs_grpo_beta4_seed1'
    >>> run_name("audit", "rs_grpo", "task=audit"), run_name("audit", "grpo", "task=audit;objective=grpo")
    ('audit', 'audit_grpo')
    """
    settings = [override.split("=", 1) for override in overrides.split(";") if "=" in override]
    one = task in ("train", "pretrain") or any(key.lstrip("+~").split(".")[0] == "objective" for key, *_ in settings)
    shown = [(key, value) for key, value in settings if "/" not in value and "_target_" not in key]
    named = [(key.split(".")[-1], value) for key, value in shown if key not in ("task", "objective")]
    words = [
        *([task] if task != "train" else []),
        *([objective] if one else []),
        *(f"{key}{value}" if value[:1].isdigit() else f"{key}-{value}" for key, value in named),
    ]
    # No character that the shell or Hydra's grammar would read as anything but itself.
    return re.sub(r"[^\w.-]+", "-", "_".join(words))[:LONGEST_NAME].strip("-")


OmegaConf.register_new_resolver("run_name", run_name, replace=True)


def run_task(cfg: DictConfig) -> None:
    """Call the function that `task=` names; a run that wrote nothing leaves no folder behind.

    Raises:
        SystemExit: with `USER_ERROR`, after saying what the mistake was. Hydra would add a line of its own to any
            other exception.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    fresh = _is_empty(run)
    try:
        check_machine(cfg)  # before the imports of a task, which take seconds
        get_method(cfg.task._target_)(cfg)
    except UserError as error:
        if _wants_traceback():
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
    try:
        check_choices(sys.argv[1:], conf)
        sys.argv[1:] = with_settings_of_run(sys.argv[1:])
        main()
    except (UserError, HydraException, OmegaConfBaseException, yaml.YAMLError, OSError) as error:
        if _wants_traceback() or (isinstance(error, OSError) and _from_task(error)):
            raise
        print(f"error: {explain(error, conf)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _wants_traceback() -> bool:
    return bool(os.environ.get("RSGRPO_TRACEBACK"))


def _from_task(error: Exception) -> bool:
    """Whether an error comes from the task itself, and not from what Hydra does before it."""
    return any(frame.name == run_task.__name__ for frame in traceback.extract_tb(error.__traceback__))


def _is_empty(folder: Path) -> bool:
    """Whether the folder exists and holds nothing."""
    return folder.is_dir() and not any(folder.iterdir())

"""`python run.py task=inspect run=RUN problem=ID`: one problem over a run; without `problem=`, what changed most."""

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from rsgrpo.analysis.inspect_table import print_changes, print_history
from rsgrpo.comparison.history import changed_most, history
from rsgrpo.comparison.runs import read_run
from rsgrpo.composition.build import build_as
from rsgrpo.composition.settings import InspectSettings
from rsgrpo.errors import UserError


def inspect(cfg: DictConfig) -> None:
    """Print the history of a problem, or the problems that changed most.

    Raises:
        UserError: for a mistake in the configuration, a folder that is no run, and a problem that it never met.
    """
    settings = build_as(cfg, "task", InspectSettings)
    if not isinstance(cfg.run, str) or not cfg.run:
        what = "is not set" if cfg.run is None else f"={cfg.run} must be the name of a folder"
        raise UserError(f"run{' ' if cfg.run is None else ''}{what}; name a run folder: run=outputs/RUN")
    if cfg.problem is not None and not isinstance(cfg.problem, str | int):
        raise UserError(f"problem={cfg.problem} must be the id of a problem; leave it out to see those that changed")
    folder = Path(cfg.run).expanduser()
    if not folder.is_dir():
        raise UserError(f"run={cfg.run} is not a folder; name a run folder: run=outputs/RUN")
    run, console = read_run(folder), Console()
    if cfg.problem is None:
        print_changes(changed_most(run), console)
    else:
        print_history(history(run, str(cfg.problem)), console, settings.completions)

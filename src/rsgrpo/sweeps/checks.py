"""Every job of a sweep is composed and checked before the first one begins, as far as that takes no time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from rsgrpo.command_line.arguments import CommandLine
from rsgrpo.command_line.composed import check_composed
from rsgrpo.command_line.errors import explain
from rsgrpo.command_line.moved import use_current_names
from rsgrpo.command_line.same_run import config_hash, flat
from rsgrpo.composition.assemble import build_parts
from rsgrpo.composition.callbacks import build_callbacks
from rsgrpo.composition.evaluation import check_during_training, evaluates, evaluations_of
from rsgrpo.composition.machine import SAY_IT_THEMSELVES, check_machine
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.composition.settings import model_settings, run_settings, trainer_settings
from rsgrpo.composition.trainer import check_devices, check_savings
from rsgrpo.errors import UserError
from rsgrpo.rewards.base import close
from rsgrpo.sweeps.jobs import Composer, Job

TRAIN = "rsgrpo.tasks.train.train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A job that can begin."""

    job: Job
    folder: Path
    """Where it would write, were it new: in the folder of the sweep."""
    sweep: Path
    """The folder of the sweep."""
    trains: bool
    iterations: int
    """Of a training run; 1 for another task."""
    config_hash: str
    settings: dict[str, Any]
    """Every key, dotted."""
    threads: int
    """Of each of its processes."""
    cores: int
    """That it computes with."""
    gpus: int | None
    """How many GPUs it takes; None for all that there are."""

    def moved(self, sweep: Path) -> "Checked":
        """The same job in the folder of another sweep."""
        return replace(self, sweep=sweep, folder=sweep / self.folder.relative_to(self.sweep))


def checked(line: CommandLine, jobs: Sequence[Job], *, here: bool) -> list[Checked]:
    """Each job, composed and checked; `here` says that the jobs are to run on this machine.

    Raises:
        UserError: for the first that a run would refuse before it reads weights and data, with the job and the cure.
    """
    found: list[Checked] = []
    composer, known = Composer(line), _Known()
    with _without_a_run():
        for job in jobs:
            try:
                cfg = composer.configuration(job)
                sweep = found[0].sweep if found else None
                found.append(_checked(cfg, job, line, sweep=sweep, here=here, known=known))
            except (UserError, HydraException, OmegaConfBaseException) as error:
                said = explain(error, line_of(job, line))
                raise UserError(f"{said} ({job}; no job was started)" if len(jobs) > 1 else said) from error
    return found


@dataclass(slots=True)
class _Known:
    """What need not be checked again."""

    weights: set[str] = field(default_factory=set)
    """Models whose weights have been looked for."""
    recipes: set[str] = field(default_factory=set)
    """Settings, but for the seed of RL, of training runs that were built."""


def _checked(cfg: DictConfig, job: Job, line: CommandLine, *, sweep: Path | None, here: bool, known: _Known) -> Checked:
    """One job."""
    HydraConfig.instance().set_config(cfg)
    sweep = Path(str(cfg.hydra.sweep.dir)).resolve() if sweep is None else sweep
    folder = sweep / str(cfg.hydra.sweep.subdir)
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        cfg.hydra.sweep.dir, cfg.hydra.runtime.output_dir = str(sweep), str(folder)
    HydraConfig.instance().set_config(cfg)
    task = cfg.hydra.runtime.choices["task"]
    with open_dict(cfg):
        del cfg["hydra"]
    use_current_names(cfg)
    check_composed(cfg, line_of(job, line))
    trains = cfg.task._target_ == TRAIN
    computes = task not in SAY_IT_THEMSELVES
    if computes:
        _check_settings(cfg, here=here, known=known)
    settings = flat(OmegaConf.to_container(cfg, resolve=True))
    recipe = repr([(key, value) for key, value in settings.items() if key != "seed"]).replace(str(folder), "")
    if trains and recipe not in known.recipes:
        _check_training(cfg)
        known.recipes.add(recipe)
    return Checked(
        job=job,
        folder=folder,
        sweep=sweep,
        trains=trains,
        iterations=cfg.iterations if trains else 1,
        config_hash=config_hash(cfg),
        settings=settings,
        **(_takes(cfg) if computes else {"threads": 1, "cores": 1, "gpus": 0}),
    )


def _check_settings(cfg: DictConfig, *, here: bool, known: _Known) -> None:
    """What every task is checked for; what this machine lacks only where the job is to run `here`."""
    if here:
        check_machine(cfg, weights=str(cfg.model.path) not in known.weights)
        known.weights.add(str(cfg.model.path))
        return
    run_settings(cfg)
    trainer_settings(cfg)
    for one in evaluations_of(cfg) if evaluates(cfg) else [cfg]:
        model_settings(one)


def _check_training(cfg: DictConfig) -> None:
    """What a training run is checked for before it reads weights and data."""
    recipe = build_recipe(cfg)
    try:
        check_during_training(recipe.evaluation)
        build_parts(cfg)
        check_devices(cfg)
        check_savings(cfg)
        build_callbacks(cfg, recipe)
    finally:
        close(recipe.reward)


def _takes(cfg: DictConfig) -> dict[str, Any]:
    """What a job takes of a machine."""
    threads = cfg.trainer.threads or 1
    processes = cfg.trainer.devices if isinstance(cfg.trainer.devices, int) else None
    gpus = 0 if cfg.trainer.accelerator == "cpu" else processes
    return {"threads": threads, "cores": threads * (processes or 1), "gpus": gpus}


def line_of(job: Job, line: CommandLine) -> CommandLine:
    """The command line of one job."""
    overrides = tuple(OverridesParser.create().parse_overrides(list(job.words)))
    return CommandLine(flags=line.flags, overrides=overrides, conf=line.conf, own=line.own)


@contextmanager
def _without_a_run() -> Iterator[None]:
    """Code that asks Hydra for the run is answered with the job in turn, and with none afterwards."""
    before = HydraConfig.instance().cfg
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before

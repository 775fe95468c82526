"""The arms of a bench, each composed and checked on each task before the first run starts."""

import difflib
from collections.abc import Sequence
from itertools import product
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from rsgrpo.bench.cells import Arm, BenchSettings, Cell, Kind
from rsgrpo.bench.records import Settings
from rsgrpo.command_line.arguments import line_of_job, words_of_job
from rsgrpo.command_line.errors import explain
from rsgrpo.command_line.names import plain
from rsgrpo.command_line.same_run import NO_EXPERIMENT, flat, is_at
from rsgrpo.composition.build import build_as
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.errors import UserError
from rsgrpo.pretraining.bases import TASKS
from rsgrpo.rewards.base import close

ITS_OWN = ("task", "bench", "hydra", "ckpt", "logger", "callbacks")
"""What on the command line is the bench's, and no part of an arm."""

BASE, SEED, RATE = "model.pretrain.seed", "seed", "optimizer.lr"
"""What tells the runs of an arm and a task apart."""


def bench_settings(cfg: DictConfig) -> BenchSettings:
    """`bench` of the configuration.

    Raises:
        UserError: naming the key that is wrong, or an arm or a task that there is not, with those that there are.
    """
    if cfg.get("bench") is None:
        raise UserError("bench is not set; choose bench=quick, bench=standard or bench=full")
    settings = build_as(cfg, "bench", BenchSettings)
    for name, group, own in (("arms", "arm", settings.arms), ("tasks", "data", settings.tasks)):
        known = GlobalHydra.instance().config_loader().get_group_options(group)
        if unknown := [choice for choice in own if choice not in known]:
            offered = [choice for choice in sorted(known) if group == "arm" or choice in TASKS]
            near = difflib.get_close_matches(unknown[0], offered, n=1)
            meant = f"did you mean {near[0]}? There are" if near else "choose from"
            raise UserError(f"bench.{name}: there is no {group}={unknown[0]}; {meant} {', '.join(offered)}")
    return settings


def arms_of(settings: BenchSettings) -> list[Arm]:
    """The arms of `bench.arms`, the baseline among them, and that of the command line's own words, if it has any.

    Raises:
        UserError: for an own arm with the name of another.
    """
    names = list(dict.fromkeys([settings.baseline, *settings.arms]))
    arms = [Arm(name=name, words=[f"arm={name}"]) for name in names]
    words = [word for word in words_of_job() if not _is_its_own(word)]
    if words:
        name = settings.own or plain(_name_of(words))
        if name in names:
            raise UserError(
                f"bench.own={name} is the name of another arm; give yours a name of its own: bench.own=mine"
            )
        arms.append(Arm(name=name, words=words))
    return arms


def own_arm(arms: Sequence[Arm]) -> Arm | None:
    """The arm of the command line's own words."""
    return next((arm for arm in arms if not (len(arm.words) == 1 and arm.words[0] == f"arm={arm.name}")), None)


def checked_settings(settings: BenchSettings, arms: Sequence[Arm]) -> dict[Kind, Settings]:
    """The resolved settings of each kind of run, after every check that needs no weights.

    Raises:
        UserError: naming the arm, the task and the cure.
    """
    found = {}
    for task, arm, tunes in product(settings.tasks, arms, (True, False) if len(settings.rates) > 1 else (False,)):
        base, seed = settings.pairs[0]
        cell = Cell(arm=arm, task=task, base=base, seed=seed, rate=float(settings.rates[0]), tunes=tunes)
        try:
            cfg = hydra.compose("config", words_of(cell, settings))
            _check_can_be_reported(cfg, cell, settings)
            close(build_recipe(cfg).reward)
        except HydraException as error:
            raise UserError(f"bench: {arm.name} on {task}: {explain(error, line_of_job())}") from error
        except UserError as error:
            raise UserError(f"bench: {arm.name} on {task}: {error}", **error.fields) from error
        found[cell.kind] = settings_of(OmegaConf.to_container(cfg, resolve=True))
    return found


def _check_can_be_reported(cfg: DictConfig, cell: Cell, settings: BenchSettings) -> None:
    """Refuse a task without bases, and too few completions for what the leaderboard has.

    Raises:
        UserError: naming the key and the cure.
    """
    modules = {str(cfg[name]._target_).rpartition(".")[0] for name in ("data", "demonstrations") if cfg.get(name)}
    if cfg.model.get("path") is None and len(modules) > 1:  # the demonstrations are those of another task
        raise UserError(f"data={cell.task} has no bases that are pretrained here; choose from {', '.join(TASKS)}")
    if not cell.tunes and cfg.eval.test_completions < 2 * settings.k:
        raise UserError(
            f"eval.test_completions={cfg.eval.test_completions} is less than the {2 * settings.k} that bench.k="
            f"{settings.k} needs; try eval.test_completions={2 * settings.k}, or a smaller bench.k"
        )


def words_of(cell: Cell, settings: BenchSettings) -> list[str]:
    """The command line of a run; later words win."""
    own = [f"{BASE}={cell.base}", f"{SEED}={cell.seed}", f"{RATE}={cell.rate:g}"]
    return [f"data={cell.task}", *settings.words_of(cell), *cell.arm.words, *own]


def settings_of(config: Any) -> dict[str, Any]:
    """Every key of a configuration, dotted, without those that tell the runs of an arm apart or change no number."""
    left_out = (*NO_EXPERIMENT, BASE, SEED, RATE, "spurious.seed")
    return {key: value for key, value in flat(config).items() if not any(is_at(key, free) for free in left_out)}


def _is_its_own(word: str) -> bool:
    key = word.lstrip("+~").split("=")[0]
    return any(is_at(key, own) for own in ITS_OWN) or key.split("/")[0] == "hydra"


def _name_of(words: Sequence[str]) -> str:
    """`Mine` of `objective._target_=my.Mine`, else the choice of the objective with what is set of it."""
    values = {word.lstrip("+~").partition("=")[0]: word.partition("=")[2] for word in words}
    if (target := values.get("objective._target_")) is not None:
        return target.rpartition(".")[2].strip("\"'")
    chosen = HydraConfig.get().runtime.choices["objective"]
    rest = [f"{key.rpartition('.')[2]}{value}" for key, value in sorted(values.items()) if key not in ("objective",)]
    return "_".join([chosen, *rest])

"""`launcher=`: which of Hydra's launchers starts the jobs of a sweep, whether it is installed, and what it is told."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from rsgrpo.command_line.arguments import CommandLine, text_of
from rsgrpo.command_line.errors import explain
from rsgrpo.command_line.keys import LAUNCHER, dotted, shown
from rsgrpo.errors import UserError
from rsgrpo.sweeps.checks import Checked
from rsgrpo.sweeps.farm import JOBS

OF_HYDRA = "hydra/launcher"
"""Hydra's own group of launchers, which knows nothing of `conf/launcher`."""

PACKAGES = {
    "joblib": ("joblib", "hydra_plugins.hydra_joblib_launcher"),
    "submitit": ("submitit", "hydra_plugins.hydra_submitit_launcher"),
    "submitit_local": ("submitit", "hydra_plugins.hydra_submitit_launcher"),
    "ray": ("ray", "hydra_plugins.hydra_ray_launcher"),
}
"""By choice, the extra of this package that has it, and the module of Hydra's plug-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launching:
    """How the jobs of a sweep are started."""

    name: str
    """As it was chosen."""
    words: tuple[str, ...]
    """For Hydra, which composes `JOBS` of them."""
    settings: DictConfig
    """What they come to."""

    @property
    def kind(self) -> str:
        """The class of Hydra's plug-in."""
        return str(self.settings._target_).rpartition(".")[2]

    @property
    def here(self) -> bool:
        """Whether jobs run on this machine, and share its cores and GPUs."""
        address = OmegaConf.select(self.settings, "ray.init.address")
        of_ray = self.kind == "RayLauncher" and address in (None, "local")
        return self.kind in ("JoblibLauncher", "LocalLauncher") or of_ray


def launching_of(line: CommandLine) -> Launching | None:
    """What the command line wants its jobs started by; None where they take turns in this process.

    Raises:
        UserError: for a launcher that is not installed, or has no such setting.
    """
    plain = [o for o in line.overrides if o.key_or_group.startswith((OF_HYDRA, "hydra.launcher"))]
    named = [str(text_of(o)) for o in (*plain, *line.launching) if o.key_or_group in (LAUNCHER, OF_HYDRA)]
    if not named or named[-1] == "basic":
        if line.launching:
            word = shown(line.launching[0].input_line)
            raise UserError(f"{word}: there is no launcher; choose one as well: {LAUNCHER}=joblib")
        return None
    _check_installed(named[-1])
    words = (*(str(override.input_line) for override in plain), *_words(line, LAUNCHER, {}))
    found = Launching(name=named[-1], words=words, settings=_composed(line, words))
    _check_slurm(found)
    return found


def words_of_hydra(line: CommandLine) -> list[str]:
    """What the command line says of the launcher, as Hydra alone knows it: without the settings of `conf/launcher`."""
    return _words(line, OF_HYDRA, {"submitit": "submitit_slurm"})


def _words(line: CommandLine, group: str, names: Mapping[str, str]) -> list[str]:
    """`launcher=` as a choice of `group`, where some have other `names`, and `launcher.n_jobs=4` as Hydra's own key."""
    words: list[str] = []
    for override in line.launching:
        if override.key_or_group == LAUNCHER:
            name = str(text_of(override))
            words.append(f"{group}={names.get(name, name)}")
        else:
            word = str(override.input_line)
            setting = word.lstrip("+")
            words.append(f"{word.removesuffix(setting)}hydra.{setting}")
    return words


def _check_installed(name: str) -> None:
    extra, module = PACKAGES.get(name, (None, None))
    if extra is None or module is None:
        return  # a launcher of the user's: Hydra says whether it is there
    missing = [package for package in (extra, module) if not _is_there(package)]
    if missing:
        package = {extra: extra, module: module.rpartition(".")[2].replace("_", "-")}[missing[0]]
        raise UserError(
            f"{LAUNCHER}={name} needs the package {package}, which is not installed: pip install 'rsgrpo[{extra}]'"
        )


def _check_slurm(launching: Launching) -> None:
    """Slurm is asked by its own commands."""
    if launching.kind == "SlurmLauncher" and shutil.which("sbatch") is None:
        raise UserError(
            f"{LAUNCHER}={launching.name} needs Slurm, and there is no sbatch on this machine; start the sweep where "
            f"there is, or try it out with {LAUNCHER}=submitit_local"
        )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


def _composed(line: CommandLine, words: Sequence[str]) -> DictConfig:
    """The settings of the launcher.

    Raises:
        UserError: for a setting that it does not have, or a value that it does not take.
    """
    own = [] if line.own is None else [f"hydra.searchpath=[file://{line.own}]"]
    choices = [word for word in words if word.partition("=")[0] in (LAUNCHER, OF_HYDRA)]
    known: set[str] = set()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(line.conf.absolute()), version_base="1.3"):
            chosen = compose(JOBS, [*own, *choices], return_hydra_config=True).hydra.launcher
            known = dotted(OmegaConf.to_container(chosen, resolve=False))
            return compose(JOBS, [*own, *words], return_hydra_config=True).hydra.launcher
    except HydraException as error:
        raise UserError(_unknown(words, known) or explain(error, line)) from error


def _unknown(words: Sequence[str], known: set[str]) -> str | None:
    """What to say about the first word whose key the launcher lacks."""
    for word in words:
        key = word.lstrip("+~").partition("=")[0]
        own = key.removeprefix(f"hydra.{LAUNCHER}.")
        if known and own != key and own not in known:
            top = ", ".join(sorted(name for name in known if "." not in name and not name.startswith("_")))
            return f"{LAUNCHER}.{own}: the launcher has no such key; it has {top}"
    return None


def places(*, wanted: int | None, cores: int, gpus: int | None, machine: "Machine") -> list[str | None]:
    """For each of the jobs that may run at once on a machine, the GPUs that it gets, in `CUDA_VISIBLE_DEVICES`.

    Args:
        wanted: how many are to run at once; None for as many as the machine has room for.
        cores: that a job computes with.
        gpus: that a job needs; None for all that there are.
        machine: what there is.

    Raises:
        UserError: when a job needs more GPUs than there are.

    >>> places(wanted=None, cores=1, gpus=1, machine=Machine(cores=8, gpus=("0", "1")))
    ['0', '1']
    >>> places(wanted=4, cores=1, gpus=1, machine=Machine(cores=8, gpus=("0", "1")))
    ['0', '1', '0', '1']
    >>> places(wanted=None, cores=1, gpus=2, machine=Machine(cores=8, gpus=("4", "5", "6", "7")))
    ['4,5', '6,7']
    >>> places(wanted=None, cores=2, gpus=0, machine=Machine(cores=8, gpus=("0", "1")))
    [None, None, None, None]
    """
    if gpus == 0 or not machine.gpus:
        return [None] * (wanted or max(1, machine.cores // cores))
    each = len(machine.gpus) if gpus is None else gpus
    if each > len(machine.gpus):
        raise UserError(f"trainer.devices={each} is more than the {len(machine.gpus)} GPUs that there are; lower it")
    shares = [",".join(machine.gpus[i : i + each]) for i in range(0, len(machine.gpus) - each + 1, each)]
    return [shares[place % len(shares)] for place in range(wanted or len(shares))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the jobs of a sweep share."""

    cores: int
    gpus: tuple[str, ...]
    """As `CUDA_VISIBLE_DEVICES` names them."""


def this_machine() -> Machine:
    """The cores that this process may use, and the GPUs that it sees."""
    cores = len(os.sched_getaffinity(0))
    if not torch.cuda.is_available():
        return Machine(cores=cores, gpus=())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else map(str, range(torch.cuda.device_count()))
    return Machine(cores=cores, gpus=tuple(gpus))


def room_for(launching: Launching, jobs: Sequence[Checked]) -> tuple[list[str], list[str | None] | None]:
    """(further words for Hydra, the places of `places` or None where the launcher has machines of its own).

    Raises:
        UserError: when a job needs more GPUs than there are, or when nobody can know how many it needs.
    """
    cores = max(job.cores for job in jobs)
    gpus = None if any(job.gpus is None for job in jobs) else max(job.gpus or 0 for job in jobs)
    settings, key = launching.settings, f"hydra.{LAUNCHER}"
    if launching.kind == "SlurmLauncher":
        if gpus is None and settings.gpus_per_node is None:
            raise UserError(f"{LAUNCHER}.gpus_per_node is not set, and trainer.devices=auto takes all; set one of them")
        words = [f"{key}.gpus_per_node={gpus}"] if gpus and settings.gpus_per_node is None else []
        return [*words, *([f"{key}.cpus_per_task={cores}"] if settings.cpus_per_task < cores else [])], None
    if launching.kind == "RayLauncher" and not launching.here:
        asks = OmegaConf.select(settings, "ray.remote.num_gpus") is not None
        return [f"+{key}.ray.remote.num_gpus={gpus}"] if gpus and not asks else [], None
    if not launching.here:
        return [], None
    at_once = {"JoblibLauncher": "n_jobs", "RayLauncher": "ray.init.num_cpus"}.get(launching.kind)
    wanted = None if at_once is None else OmegaConf.select(settings, at_once)
    if wanted == 0:
        raise UserError(f"{LAUNCHER}.{at_once}=0: no job would ever run; give 1 or more, or leave it out")
    machine = this_machine()
    if wanted is not None and wanted < 0:  # joblib counts from the end: -1 is all cores, which is for us to say
        wanted = None if wanted == -1 else max(1, machine.cores + 1 + wanted)
    found = places(wanted=wanted, cores=cores, gpus=gpus, machine=machine)[: len(jobs)]
    words = {
        "JoblibLauncher": [f"{key}.n_jobs={len(found)}", f"{key}.batch_size=1"],
        "RayLauncher": [f"++{key}.ray.init.num_cpus={len(found)}"],
    }.get(launching.kind, [])
    return words, found

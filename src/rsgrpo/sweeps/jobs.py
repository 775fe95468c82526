"""The jobs of a sweep: the words of each, and the configuration that Hydra would compose of them."""

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from rsgrpo import run_folder
from rsgrpo.command_line.arguments import MOST_JOBS, CommandLine
from rsgrpo.command_line.keys import groups_of, shown
from rsgrpo.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One combination of the values that are swept over."""

    number: int
    """From 0, as its folder is numbered."""
    words: tuple[str, ...]
    """Its overrides, written as Hydra writes those of a job: its folder is named after them."""
    swept: tuple[str, ...]
    """Those of them in which the jobs differ."""

    def __str__(self) -> str:
        return f"job {self.number}: {' '.join(self.swept)}" if self.swept else f"job {self.number}"


def jobs_of(line: CommandLine) -> list[Job]:
    """Every combination, in Hydra's order: the last of the swept keys changes first.

    Raises:
        UserError: for a range without steps, and for too many jobs.
    """
    words = [override for override in line.overrides if not is_of_hydra(override)]
    with _hydra(line):
        values = {word.get_key_element(): _values(word) for word in words}
    combinations = list(itertools.islice(itertools.product(*values.values()), MOST_JOBS + 1))
    if len(combinations) > MOST_JOBS:
        raise UserError(f"--multirun: more jobs than the {MOST_JOBS:,} that one sweep takes; sweep over fewer values")
    is_swept = [word.is_sweep_override() for word in {word.get_key_element(): word for word in words}.values()]
    return [
        Job(number=number, words=combination, swept=tuple(itertools.compress(combination, is_swept)))
        for number, combination in enumerate(combinations)
    ]


def is_of_hydra(override: Override) -> bool:
    """Whether a word sets something of Hydra itself: where runs lie, and how jobs are started."""
    return override.key_or_group.replace("/", ".").split(".")[0] == "hydra"


def _values(override: Override) -> list[str]:
    """The words that one stands for, in turn; a single one unless it is swept over."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [run_folder.as_typed(f"{key}={override.get_value_element_as_str()}")]
    if not override.is_discrete_sweep():
        raise UserError(
            f"{shown(override.input_line)}: an interval has no values to go through; list them, or use a sweeper that "
            "draws them: hydra/sweeper=..."
        )
    loader = GlobalHydra.instance().config_loader()  # knows the choices of a group, for glob(*)
    (parsed,) = OverridesParser.create(config_loader=loader).parse_overrides([str(override.input_line)])
    return [run_folder.as_typed(f"{key}={value}") for value in parsed.sweep_string_iterator()]


@contextmanager
def _hydra(line: CommandLine) -> Iterator[None]:
    """Hydra, looking where the command line says."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(line.conf.absolute()), version_base="1.3", job_name="rsgrpo"):
        yield


class Composer:
    """The configuration of one job after another, with Hydra's own section: `hydra.job.num` is the job's number.

    Files are read once for each combination of choices. Values are put in as Hydra puts them in, after all files.
    """

    def __init__(self, line: CommandLine) -> None:
        self.line = line
        words = [o for o in line.overrides if is_of_hydra(o) and not o.key_or_group.startswith(LAUNCHERS)]
        self.hydras = [str(override.input_line) for override in words]
        if line.own is not None:
            self.hydras.insert(0, f"hydra.searchpath=[file://{line.own}]")
        looks_elsewhere = any(override.key_or_group == "hydra.searchpath" for override in words)
        self.groups = None if looks_elsewhere else groups_of(*line.folders)
        """None: there may be groups that nobody here knows of."""
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def configuration(self, job: Job) -> DictConfig:
        """The configuration of a job.

        Raises:
            HydraException: for a choice or a key that does not exist.
        """
        parsed = OverridesParser.create().parse_overrides(list(job.words))
        values = [override for override in parsed if not self._chooses(override)]
        choices = tuple(str(override.input_line) for override in parsed if self._chooses(override))
        if choices not in self.composed:
            with _hydra(self.line):
                self.composed[choices] = compose(name_of(self.line), [*self.hydras, *choices], return_hydra_config=True)
        cfg = copy.deepcopy(self.composed[choices])
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        _as_job(cfg, job, parsed)
        return cfg

    def _chooses(self, override: Override) -> bool:
        """Whether a word may choose which files are read."""
        return self.groups is None or override.key_or_group in self.groups or override.package is not None


LAUNCHERS = ("hydra.launcher", "hydra/launcher", "hydra.sweeper", "hydra/sweeper")
"""What is set of Hydra for a sweep, and means nothing to a job."""


def _as_job(cfg: DictConfig, job: Job, words: list[Override]) -> None:
    """What Hydra notes of a job beside its settings."""
    names = cfg.hydra.job.config.override_dirname
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        cfg.hydra.mode = RunMode.MULTIRUN
        cfg.hydra.overrides.task = list(job.words)
        cfg.hydra.job.num, cfg.hydra.job.id = job.number, str(job.number)
        cfg.hydra.job.override_dirname = get_overrides_dirname(
            overrides=words, exclude_keys=names.exclude_keys, item_sep=names.item_sep, kv_sep=names.kv_sep
        )


def name_of(line: CommandLine) -> str:
    """The file of the configuration, which `--config-name` may name."""
    named = [flag.partition("=")[2] for flag in line.flags if flag.startswith("--config-name=")]
    return named[-1] if named else "config"

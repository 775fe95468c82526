"""`python run.py task=compare runs=[A,B]`: which of several runs is better, and how surely."""

import glob
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.analysis.compare_table import print_comparison
from rsgrpo.analysis.tables import wide_console
from rsgrpo.comparison import compare as comparing
from rsgrpo.comparison.compare import Comparison
from rsgrpo.comparison.measures import measure
from rsgrpo.comparison.record import record
from rsgrpo.comparison.runs import Run, find_runs, read_run
from rsgrpo.composition.build import build_as
from rsgrpo.composition.machine import check_run_folder
from rsgrpo.composition.settings import CompareSettings
from rsgrpo.errors import UserError

SOLVED = "train/cumulative_solve_rate"


def compare(cfg: DictConfig) -> None:
    """Compare the runs, and leave the table, `compare.json` and the configuration in a folder of its own.

    Raises:
        UserError: for a mistake in the configuration, and for runs that cannot be compared.
    """
    run, (found, level) = Path(HydraConfig.get().runtime.output_dir), compared(cfg)
    check_run_folder(run, resumes=False)
    OmegaConf.save(cfg, run / run_folder.CONFIG, resolve=False)
    run_folder.write_json(run / run_folder.COMPARE, record(found, level))
    console = wide_console()
    print_comparison(run, console)
    console.print(f"run folder: {run}", soft_wrap=True, highlight=False)


def compare_sweep(folder: Path, runs: Sequence[Path]) -> None:
    """The comparison of all runs of a sweep, wherever they are, shown and left in its folder, or why there is none."""
    console, here = wide_console(), Path.cwd()
    runs = [run.relative_to(here) if run.is_relative_to(here) else run for run in runs]  # as a user here names them
    try:
        found, level = _compared(list(map(glob.escape, map(str, runs))), CompareSettings())
    except UserError as error:
        console.print(f"no comparison of this sweep: {error}", soft_wrap=True, highlight=False, markup=False)
        return
    folder.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(folder / run_folder.COMPARE, record(found, level))
    print_comparison(folder, console)
    folders = dict.fromkeys(str(run.parent) for run in runs)
    named = next(iter(folders)) if len(folders) == 1 else f"[{','.join(folders)}]"
    console.print(f"compare them otherwise: task=compare runs={named}", soft_wrap=True, highlight=False)


def compared(cfg: DictConfig) -> tuple[Comparison, float]:
    """The comparison that a configuration asks for, and the level of its intervals.

    Raises:
        UserError: for a mistake in the configuration, and for runs that cannot be compared.
    """
    return _compared(_names_of_runs(cfg), build_as(cfg, "task", CompareSettings))


def _compared(names: Sequence[str], settings: CompareSettings) -> tuple[Comparison, float]:
    runs = [read_run(folder) for folder in find_runs(names)]
    measures = usual_measures(runs, settings.split) if settings.measures is None else settings.measures
    found = comparing.compare(
        runs,
        [measure(name) for name in measures],
        split=settings.split,
        match=settings.match,
        baseline=settings.baseline,
        level=settings.level,
    )
    return found, settings.level


def usual_measures(runs: Sequence[Run], split: str) -> list[str]:
    """pass@k for each k that every run was evaluated with, and the cumulative solve rate if one has logged it.

    Those k that the samples of a run do not allow are left out.
    """
    ks = [set(run.settings.get("eval.k") or [1]) for run in runs]
    last = [found[max(found)] for run in runs if (found := run.evaluations(split))]
    fewest = min((int(part.n.min()) for evaluated in last for part in evaluated.values()), default=1)
    common = sorted(k for k in set.intersection(*ks) if k <= fewest) or [1]
    solved = [SOLVED] if any(SOLVED in at for run in runs for at in run.metrics.values()) else []
    return [*(f"pass@{k}" for k in common), *solved]


def _names_of_runs(cfg: DictConfig) -> list[str]:
    """`runs` as a list of words.

    Raises:
        UserError: when it is not set, or is no list of names.
    """
    names = [cfg.runs] if isinstance(cfg.runs, str) else cfg.runs
    if names == []:
        raise UserError("runs is not set; name run folders, a sweep, or a pattern: runs=[outputs/A,outputs/B]")
    if not isinstance(names, list | ListConfig) or not all(isinstance(name, str) and name for name in names):
        raise UserError(f"runs={cfg.runs} must list names of folders; try runs=[outputs/A,outputs/B]")
    return list(names)

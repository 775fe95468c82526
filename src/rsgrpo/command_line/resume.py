"""`ckpt=RUN`: continue a run in its own folder, with its own settings; `ckpt=auto` finds out which one."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, read_write

from rsgrpo import checkpoints, run_folder
from rsgrpo.command_line import supervision
from rsgrpo.command_line.begun import BegunRuns, runs_in
from rsgrpo.command_line.quoting import quoted
from rsgrpo.command_line.same_run import ENGINE, config_hash, flat, is_at, may_change
from rsgrpo.command_line.trust import check_words
from rsgrpo.errors import UserError

AUTO = "auto"
"""`ckpt=auto`: the run that this command line has begun, if it has. Left in the configuration, it says that the run
begins anew in the folder of one that saved no checkpoint."""

OUTPUTS = Path("outputs")
"""Where runs lie that were given no `hydra.run.dir`: alone, or in the folder of their sweep."""

_FOLDER = "hydra.run.dir"


class NothingToDo(Exception):
    """`ckpt=auto` has found that the run is finished, which is not a mistake."""


def with_settings_of_run(arguments: Sequence[str]) -> list[str]:
    """The command line of a resumed run: the overrides it was started with, then those given now, in its folder.

    `ckpt=auto` stands for the newest whole checkpoint of the run in `hydra.run.dir`, or else of the newest run under
    `outputs/` that was started with the same overrides and is not finished. Where there is none it is a new start: the
    word is dropped, or kept when the folder holds what `checkpoints.clear` has to remove first. Nothing is changed
    here, since all ranks of a run may ask at the same time, and all have to come to the same answer.

    Raises:
        UserError: when `ckpt=` names no run, or `ckpt=auto` one that is finished or whose checkpoints are all damaged.
    """
    given = {_key(argument): argument for argument in arguments if "=" in argument or argument.startswith("~")}
    ckpt = given.get("ckpt", "ckpt=null").split("=", 1)[1].strip("\"'")
    if ckpt in ("null", ""):
        return list(arguments)
    if {"-m", "--multirun"} & set(arguments) or supervision.is_supervised():
        if ckpt == AUTO:
            return list(arguments)  # each job finds its own: `find_run_of_job`
        raise UserError(f"ckpt={ckpt} resumes one run; leave out -m, or let each job find its own with ckpt=auto")
    if ckpt == AUTO:
        return _automatic(arguments, given)
    return _resumed(arguments, ckpt)


def _resumed(arguments: Sequence[str], ckpt: str) -> list[str]:
    given = {_key(argument) for argument in arguments if "=" in argument or argument.startswith("~")}
    # Sizes only, and silently: the task itself reads every byte.
    run, _ = checkpoints.find_checkpoint(ckpt, say=lambda _: None, contents=False)
    saved = run_folder.read_overrides(run)
    kept = [s for s in saved if _key(s) not in given and _key(s).split(".")[0] not in given]
    check_words(kept, run / run_folder.OVERRIDES)
    now = [f"ckpt={quoted(ckpt)}" if _key(argument) == "ckpt" else argument for argument in arguments]
    return [*kept, *now, f"{_FOLDER}={quoted(str(run))}"]


def _automatic(arguments: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """The command line that `ckpt=auto` stands for."""
    without = [argument for argument in arguments if _key(argument) != "ckpt"]
    if _FOLDER in given:
        folder = given[_FOLDER].split("=", 1)[1].strip("\"'")
        if "${" in folder:
            raise UserError(f"{_FOLDER}={folder}: ckpt=auto looks into this folder before the run; write out its name")
        run = Path(folder).resolve()
        wanted = _wanted_iterations(run, given) if (run / run_folder.DONE).exists() else None
        checkpoint = _checkpoint_in(run, wanted)
        anew = [f"ckpt={AUTO}"] if checkpoint is None and (run / run_folder.RUN).is_file() else []
    else:
        words = [word for word in arguments if word.startswith("~") or ("=" in word and not word.startswith("-"))]
        run, checkpoint = _unfinished_run(words, given)
        anew = []
    if checkpoint is None:
        say(f"ckpt=auto: nothing to resume, {f'starting in {run}' if run else 'starting a new run'}")
        return [*without, *anew]
    say(f"ckpt=auto: resuming {run} from {checkpoint.name}")
    here = [argument for argument in without if _key(argument) != _FOLDER]
    return _resumed([*here, f"ckpt={quoted(str(run))}"], str(run))


def find_run_of_job(cfg: DictConfig) -> None:
    """Make out `ckpt=auto` for one job of a sweep: set `ckpt` and the folder of the job to those of its run.

    Raises:
        NothingToDo: when the run is finished.
        UserError: when its checkpoints are all damaged.
    """
    job = HydraConfig.get()
    here = Path(job.runtime.output_dir)
    if (here / run_folder.RUN).is_file():
        checkpoint = _checkpoint_in(here, cfg.iterations)
        run, anew = here, AUTO if checkpoint is None else None
    elif supervision.is_supervised():  # whoever started the sweep has looked for it
        run, checkpoint, anew = None, None, None
    else:
        run, checkpoint = _begun_elsewhere(cfg)
        anew = None
    if run is None or checkpoint is None:
        cfg.ckpt = anew
        return
    say(f"ckpt=auto: resuming {run} from {checkpoint.name}")
    cfg.ckpt = str(run)
    with read_write(cast(DictConfig, job)):
        job.runtime.output_dir = str(run)


def _begun_elsewhere(cfg: DictConfig) -> tuple[Path | None, Path | None]:
    """The run that has begun with these settings under `outputs/`, and its newest whole checkpoint.

    Raises:
        NothingToDo: when it is finished.
    """
    settings = flat(OmegaConf.to_container(cfg, resolve=True))
    begun = begun_runs().find(config_hash(cfg), settings)
    if begun is not None and begun.finished is not None:
        raise NothingToDo(_nothing_to_do(begun.run))
    return (None, None) if begun is None else (begun.run, begun.checkpoint)


def begun_runs(*places: Path) -> BegunRuns:
    """The runs under `outputs/`, and in other places, that a job may go on with."""
    found = dict.fromkeys(runs_in(OUTPUTS, *places))
    return BegunRuns(runs=sorted(found, key=_begun, reverse=True), say=say)


def _checkpoint_in(run: Path, wanted: int | None) -> Path | None:
    """The newest whole checkpoint in a folder that was named; None when a run may begin there.

    Raises:
        NothingToDo: when the run there is finished.
        UserError: when it has checkpoints and none is whole.
    """
    finished = run_folder.finished_iterations(run)
    if finished is not None and (wanted is None or finished >= wanted):
        raise NothingToDo(_nothing_to_do(run))
    checkpoint, damaged = checkpoints.newest_whole(run)
    if checkpoint is None and damaged:
        raise UserError(f"ckpt=auto: no checkpoint is whole: {'; '.join(damaged)}; start again in another {_FOLDER}")
    if checkpoint is None and finished is not None:
        raise UserError(
            f"ckpt=auto: {run} has finished {finished} iterations and kept no checkpoint to extend it from; "
            f"start again in another {_FOLDER}"
        )
    return checkpoint


def _unfinished_run(words: Sequence[str], given: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """The newest run under `outputs/` with the same overrides that has a whole checkpoint and work left to do.

    Raises:
        NothingToDo: when there is none, and one with the same overrides is finished.
    """
    files = [file for depth in ("*", "*/*") for file in OUTPUTS.glob(f"{depth}/{run_folder.RUN}")]
    finished = None
    for run in sorted((file.parent.resolve() for file in files), key=_begun, reverse=True):
        try:
            if not _is_of(run, words):
                continue
            if _has_all(run, given):
                finished = finished or run
                continue
            checkpoint, damaged = checkpoints.newest_whole(run)
        except UserError as error:
            say(f"ckpt=auto: {error}; passed over")
            continue
        if checkpoint is not None:
            return run, checkpoint
        for message in damaged:
            say(f"ckpt=auto: {message}; passed over")
    if finished is not None:
        raise NothingToDo(_nothing_to_do(finished))
    return None, None


def _is_of(run: Path, words: Sequence[str]) -> bool:
    """Whether a run was started with these words, apart from those that a resumed run may change."""
    if not (run / run_folder.OVERRIDES).exists():  # killed before it had them
        return False
    saved = run_folder.read_overrides(run)
    check_words(saved, run / run_folder.OVERRIDES)
    return _what_counts(saved) == _what_counts(words)


def _has_all(run: Path, given: Mapping[str, str]) -> bool:
    """Whether a run has finished the iterations that are wanted now."""
    finished = run_folder.finished_iterations(run)
    if finished is None:
        return False
    wanted = _wanted_iterations(run, given)
    return wanted is None or finished >= wanted


def _nothing_to_do(run: Path) -> str:
    finished = run_folder.finished_iterations(run)
    return (
        f"ckpt=auto: nothing to do: {run} has finished {finished} iterations already; extend it with "
        f"iterations={2 * (finished or 1)}"
    )


def _begun(run: Path) -> tuple[int, str]:
    """When a run was begun, or resumed last; of several at the same time, by name."""
    return (run / run_folder.RUN).stat().st_mtime_ns, str(run)


def _what_counts(overrides: Sequence[str]) -> dict[tuple[str, str | None, bool], Any]:
    """What overrides set or take away, as Hydra reads them, without what a resumed run may change."""
    return {
        (word.key_or_group, word.package, word.is_delete()): word.value()
        for word in OverridesParser.create().parse_overrides(list(overrides))
        if (not may_change(word.key_or_group) or is_at(word.key_or_group, ENGINE))
        and not word.key_or_group.startswith("hydra.")
    }


def _wanted_iterations(run: Path, given: Mapping[str, str]) -> int | None:
    """How many iterations a run is to have: as given now, or as it was begun."""
    now = given.get("iterations", "").partition("=")[2]
    if now.isdecimal():
        return int(now)
    wanted = run_folder.read_config(run).get("iterations")
    return wanted if isinstance(wanted, int) else None


def say(message: str) -> None:
    """Tell the user, once for all ranks of a run."""
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    if rank == "0" and os.environ.get("LOCAL_RANK", "0") == "0":
        print(message, file=sys.stderr)


def _key(override: str) -> str:
    return override.lstrip("+~").split("=", 1)[0].split("@")[0]

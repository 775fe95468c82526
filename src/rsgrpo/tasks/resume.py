"""`ckpt=RUN`: continue a run in its own folder, with its own settings; `ckpt=auto` finds out which one."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.types import UserError

ENGINE = "rollout"
"""An engine that failed may be changed by a resumed run. `ckpt=auto` takes another engine for another run: the two draw
different completions, and are there to be compared."""

MAY_CHANGE = (
    *("iterations", "ckpt", "task", "callbacks", "logger", "trainer", ENGINE),
    *("model.cache_dir", "data.cache_dir", "batching.row_tokens", "reward.workers"),
)
"""What a resumed run may set anew; everything else is what makes it the same run."""


AUTO = "auto"
"""`ckpt=auto`: the run that this command line has begun, if it has. Left in the configuration, it says that the run
begins anew in the folder of one that saved no checkpoint."""

OUTPUTS = Path("outputs")
"""Where runs lie that were given no `hydra.run.dir`: alone, or in the folder of their sweep."""

_FOLDER = "hydra.run.dir"


def with_settings_of_run(arguments: Sequence[str]) -> list[str]:
    """The command line of a resumed run: the overrides it was started with, then those given now, in its folder.

    `ckpt=auto` stands for the newest whole checkpoint of the run in `hydra.run.dir`, or else of the newest run under
    `outputs/` that was started with the same overrides and is not finished. Where there is none it is a new start: the
    word is dropped, or kept when the folder holds what `run_folder.clear` has to remove first. Nothing is changed here,
    since all ranks of a run may ask at the same time, and all have to come to the same answer.

    Raises:
        UserError: when `ckpt=` names no run, or `ckpt=auto` one that is finished or whose checkpoints are all damaged.
    """
    given = {_key(argument): argument for argument in arguments if "=" in argument or argument.startswith("~")}
    ckpt = given.get("ckpt", "ckpt=null").split("=", 1)[1].strip("\"'")
    if ckpt in ("null", ""):
        return list(arguments)
    if {"-m", "--multirun"} & set(arguments):
        raise UserError(f"ckpt={ckpt} resumes one run; leave out -m")
    if ckpt == AUTO:
        return _automatic(arguments, given)
    return _resumed(arguments, ckpt)


def _resumed(arguments: Sequence[str], ckpt: str) -> list[str]:
    given = {_key(argument) for argument in arguments if "=" in argument or argument.startswith("~")}
    # Sizes only, and nothing said: the task itself reads every byte.
    run, _ = run_folder.find_checkpoint(ckpt, say=lambda _: None, contents=False)
    overrides = run / run_folder.OVERRIDES
    if not overrides.is_file():
        raise UserError(
            f"ckpt={ckpt}: {overrides} is missing, so the run's settings are unknown; name a whole run folder"
        )
    kept = [s for s in _saved_overrides(run) if _key(s) not in given and _key(s).split(".")[0] not in given]
    now = [f"ckpt={_quoted(ckpt)}" if _key(argument) == "ckpt" else argument for argument in arguments]
    return [*kept, *now, f"{_FOLDER}={_quoted(str(run))}"]


def _automatic(arguments: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """The command line that `ckpt=auto` stands for."""
    without = [argument for argument in arguments if _key(argument) != "ckpt"]
    if _FOLDER in given:
        folder = given[_FOLDER].split("=", 1)[1].strip("\"'")
        if "${" in folder:
            raise UserError(f"{_FOLDER}={folder}: ckpt=auto looks into this folder before the run; write out its name")
        run = Path(folder).resolve()
        checkpoint = _checkpoint_in(run, given)
        anew = [f"ckpt={AUTO}"] if checkpoint is None and (run / run_folder.RUN).is_file() else []
    else:
        run, checkpoint = _unfinished_run(arguments, given)
        anew = []
    if checkpoint is None:
        _say(f"ckpt=auto: nothing to resume, {f'starting in {run}' if run else 'starting a new run'}")
        return [*without, *anew]
    _say(f"ckpt=auto: resuming {run} from {checkpoint.name}")
    here = [argument for argument in without if _key(argument) != _FOLDER]
    return _resumed([*here, f"ckpt={_quoted(str(run))}"], str(run))


def _checkpoint_in(run: Path, given: Mapping[str, str]) -> Path | None:
    """The newest whole checkpoint in a folder that was named; None when a run may begin there.

    Raises:
        UserError: when the run there is finished, or has checkpoints and none is whole.
    """
    finished, wanted = _finished_iterations(run), _wanted_iterations(run, given)
    if finished is not None and (wanted is None or finished >= wanted):
        raise UserError(
            f"ckpt=auto: {run} has finished {finished} iterations already; extend it with iterations={2 * finished}"
        )
    checkpoint, damaged = run_folder.newest_whole(run)
    if checkpoint is None and damaged:
        raise UserError(f"ckpt=auto: no checkpoint is whole: {'; '.join(damaged)}; start again in another {_FOLDER}")
    if checkpoint is None and finished is not None:
        raise UserError(
            f"ckpt=auto: {run} has finished {finished} iterations and kept no checkpoint to extend it from; "
            f"start again in another {_FOLDER}"
        )
    return checkpoint


def _unfinished_run(arguments: Sequence[str], given: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """The newest run under `outputs/` with the same overrides that has a whole checkpoint and work left to do."""
    words = [word for word in arguments if word.startswith("~") or ("=" in word and not word.startswith("-"))]
    files = [file for depth in ("*", "*/*") for file in OUTPUTS.glob(f"{depth}/{run_folder.RUN}")]
    for run in sorted((file.parent.resolve() for file in files), key=_begun, reverse=True):
        if not (run / run_folder.OVERRIDES).is_file() or _what_counts(_saved_overrides(run)) != _what_counts(words):
            continue
        finished, wanted = _finished_iterations(run), _wanted_iterations(run, given)
        if finished is not None and (wanted is None or finished >= wanted):
            continue
        checkpoint, damaged = run_folder.newest_whole(run)
        if checkpoint is not None:
            return run, checkpoint
        for message in damaged:
            _say(f"ckpt=auto: {message}; passed over")
    return None, None


def _begun(run: Path) -> tuple[int, str]:
    """When a run was begun, or resumed last; of several at the same time, by name."""
    return (run / run_folder.RUN).stat().st_mtime_ns, str(run)


def _what_counts(overrides: Sequence[str]) -> dict[tuple[str, str | None, bool], Any]:
    """What overrides set or take away, as Hydra reads them, without what a resumed run may change."""
    return {
        (word.key_or_group, word.package, word.is_delete()): word.value()
        for word in OverridesParser.create().parse_overrides(list(overrides))
        if (not _may_change(word.key_or_group) or _is_at(word.key_or_group, ENGINE))
        and not word.key_or_group.startswith("hydra.")
    }


def _finished_iterations(run: Path) -> int | None:
    """How many iterations a run was finished after; None when it was not."""
    done = run / run_folder.DONE
    return int(run_folder.read_json(done)["iteration"]) if done.is_file() else None


def _wanted_iterations(run: Path, given: Mapping[str, str]) -> int | None:
    """How many iterations a run is to have: as given now, or as it was begun."""
    now = given.get("iterations", "").partition("=")[2]
    if now.isdecimal():
        return int(now)
    config = run / run_folder.CONFIG
    return OmegaConf.load(config).get("iterations") if config.is_file() else None  # type: ignore[union-attr]


def _saved_overrides(run: Path) -> list[str]:
    """The words that a run was started with."""
    return [str(word) for word in OmegaConf.to_object(OmegaConf.load(run / run_folder.OVERRIDES))]  # type: ignore[union-attr]


def _say(message: str) -> None:
    """Tell the user, once for all ranks of a run."""
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    if rank == "0" and os.environ.get("LOCAL_RANK", "0") == "0":
        print(message, file=sys.stderr)


def _may_change(key: str) -> bool:
    """Whether a resumed run may set this key anew."""
    return any(_is_at(key, free) for free in MAY_CHANGE)


def _is_at(key: str, place: str) -> bool:
    return key == place or key.startswith(f"{place}.")


def check_same_run(run: Path, cfg: DictConfig) -> None:
    """Refuse to continue a run under settings that would make it another one.

    Raises:
        UserError: naming the first key that differs.
    """
    before = _flat(OmegaConf.to_container(OmegaConf.load(run / run_folder.CONFIG)))
    now = _flat(OmegaConf.to_container(cfg, resolve=True))
    for key in sorted(before.keys() | now.keys()):
        if _may_change(key) or before.get(key) == now.get(key):
            continue
        was, is_now = (_as_typed(settings.get(key)) for settings in (before, now))
        raise UserError(
            f"ckpt={cfg.ckpt}: {key} was {was} and is {is_now} now; keep it as it was ({key}={was}), or start a new "
            f"run from the trained weights with model.path={run / run_folder.POLICY}"
        )


def _as_typed(value: Any) -> str:
    """A value as the command line takes it."""
    return "null" if value is None else str(value)


def _quoted(value: str) -> str:
    """A value that Hydra's grammar takes as it is, whatever characters it holds."""
    bare = value.strip("\"'")
    escaped = bare.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _key(override: str) -> str:
    return override.lstrip("+~").split("=", 1)[0].split("@")[0]


def check_same_data(run: Path, now: Mapping[str, Any]) -> None:
    """Refuse to continue a run on problems that are not those it began with: a file or a dataset has changed.

    Raises:
        UserError: naming the split.
    """
    before = run_folder.read_json(run / run_folder.RUN).get("data", {})
    for split in ("train", "validation", "test"):
        if split in before and before[split] != now[split]:
            raise UserError(
                f"ckpt={run}: its {split} split had {before[split]['problems']} problems, the same settings now give "
                f"{now[split]['problems']}, or others; restore the data, or start a new run"
            )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {key: value for k, v in tree.items() for key, value in _flat(v, f"{prefix}.{k}" if prefix else k).items()}

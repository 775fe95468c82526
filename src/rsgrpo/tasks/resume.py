"""`ckpt=RUN`: continue a run in its own folder, with its own settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.types import UserError

MAY_CHANGE = (
    *("iterations", "ckpt", "task", "callbacks", "logger", "trainer"),
    *("model.cache_dir", "data.cache_dir", "batching.row_tokens", "reward.workers"),
)
"""What a resumed run may set anew; everything else is what makes it the same run."""


def with_settings_of_run(arguments: Sequence[str]) -> list[str]:
    """The command line of a resumed run: the overrides it was started with, then those given now, in its folder.

    Raises:
        UserError: when `ckpt=` names no run.
    """
    given = {_key(argument): argument for argument in arguments if "=" in argument or argument.startswith("~")}
    ckpt = given.get("ckpt", "ckpt=null").split("=", 1)[1]
    if ckpt in ("null", ""):
        return list(arguments)
    if {"-m", "--multirun"} & set(arguments):
        raise UserError(f"ckpt={ckpt} resumes one run; leave out -m")
    run, _ = run_folder.find_checkpoint(ckpt.strip("\"'"))
    overrides = run / run_folder.OVERRIDES
    if not overrides.is_file():
        raise UserError(
            f"ckpt={ckpt}: {overrides} is missing, so the run's settings are unknown; name a whole run folder"
        )
    saved = [str(argument) for argument in OmegaConf.to_object(OmegaConf.load(overrides))]  # type: ignore[union-attr]
    kept = [s for s in saved if _key(s) not in given and _key(s).split(".")[0] not in given]
    now = [f"ckpt={_quoted(ckpt)}" if _key(argument) == "ckpt" else argument for argument in arguments]
    return [*kept, *now, f"hydra.run.dir={_quoted(str(run))}"]


def check_same_run(run: Path, cfg: DictConfig) -> None:
    """Refuse to continue a run under settings that would make it another one.

    Raises:
        UserError: naming the first key that differs.
    """
    before = _flat(OmegaConf.to_container(OmegaConf.load(run / run_folder.CONFIG)))
    now = _flat(OmegaConf.to_container(cfg, resolve=True))
    for key in sorted(before.keys() | now.keys()):
        if any(key == free or key.startswith(f"{free}.") for free in MAY_CHANGE) or before.get(key) == now.get(key):
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

"""What makes a resumed run the same run: its settings, its data and its base model."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.command_line.moved import TARGET, current_name
from rsgrpo.errors import UserError

ENGINE = "rollout"
"""An engine that failed may be changed by a resumed run. `ckpt=auto` takes another engine for another run: the two draw
different completions, and they are meant to be compared."""

MAY_CHANGE = (
    *("iterations", "ckpt", "task", "callbacks", "logger", "trainer", ENGINE),
    *("model.cache_dir", "data.cache_dir", "eval.cache_dir", "batching.row_tokens", "schedule.iterations"),
    "optimizer.fused",
)
"""What a resumed run may set anew; everything else is what makes it the same run."""

NO_EXPERIMENT = (
    *("ckpt", "callbacks", "logger"),
    *("model.cache_dir", "data.cache_dir", "eval.cache_dir", "rollout.cache_dir"),
)
"""What the hash of a configuration leaves out: it changes no number of a run, or depends on the run folder."""

UNREAD = "demonstrations"
"""A section that run folders of earlier versions hold even where nothing reads it: such a run may lack it."""

ADDED = (
    *("eval.test_every", "eval.test_completions_of", "eval.curve_completions", "eval.curve_completions_of"),
    *("eval.completions", "eval.base", "eval.keep", "eval.temperature", "eval.right_answers"),
    *(
        "spurious",
        "correction",
        "shaping",
        "order",
        "loss.dual_clip",
        "batching.max_refills",
        "optimizer.max_bad_updates",
        "optimizer.fused",
    ),
)
"""Settings that run folders of earlier versions lack: such a run goes on with today's."""

WORKERS_OF_REWARDS = re.compile(r"reward\.(rewards\.[^.]+\.)*(workers|isolation(\.[^.]+)?)")
"""How rewards are run, which a resumed run may set anew. The time limit of `math_verify` is part of its verdicts."""

MAY_MOVE = re.compile(r"model\.path|data\.(\w+\.)*(\w+_)?path")
"""Where a resumed run may find its base model and its data: these are compared with those that the run began with."""


def may_change(key: str) -> bool:
    """Whether a resumed run may set this key anew."""
    patterns = (MAY_MOVE, WORKERS_OF_REWARDS)
    return any(is_at(key, free) for free in MAY_CHANGE) or any(pattern.fullmatch(key) for pattern in patterns)


def is_at(key: str, place: str) -> bool:
    """Whether a key is a place in the configuration, or below it."""
    return key == place or key.startswith(f"{place}.")


def check_same_run(run: Path, cfg: DictConfig) -> None:
    """Refuse to continue a run under settings that would make it another one.

    Raises:
        UserError: naming the first key that differs.
    """
    before = flat(run_folder.read_config(run))
    now = flat(OmegaConf.to_container(cfg, resolve=True))
    for key in sorted(differing(before, now)):
        if may_change(key):
            continue
        was, is_now = (_as_typed(settings.get(key)) for settings in (before, now))
        what, words = _other_choice(run, key) or (f"{key} was {was} and is {is_now} now", f"{key}={was}")
        raise UserError(
            f"ckpt={cfg.ckpt}: {what}; keep it as it was ({words}), or start a new run from the trained weights with "
            f"model.path={run / run_folder.POLICY}"
        )


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """The keys in which the settings of a run, which an earlier version may have written, are not those of now."""
    if not any(is_at(key, UNREAD) for key in now):
        before = {key: value for key, value in before.items() if not is_at(key, UNREAD)}
    lacks = {key for key in now.keys() - before.keys() if any(is_at(key, added) for added in ADDED)}
    return {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)} - lacks


def config_hash(cfg: DictConfig) -> str:
    """A hash of every key and value of a configuration, references followed, without those of `NO_EXPERIMENT`.

    The order of keys does not count, nor whether a whole number is written 2 or 2.0.
    """
    settings = flat(OmegaConf.to_container(cfg, resolve=True))
    counted = {
        key: _number(value) for key, value in settings.items() if not any(is_at(key, free) for free in NO_EXPERIMENT)
    }
    return hashlib.blake2b(json.dumps(counted, sort_keys=True).encode(), digest_size=8).hexdigest()


def _number(value: Any) -> Any:
    """A value in which numbers that are equal look alike."""
    if isinstance(value, list):
        return [_number(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _other_choice(run: Path, key: str) -> tuple[str, str] | None:
    """(what differs, the words that bring it back), when another choice of a group is the reason that a key differs."""
    if not HydraConfig.initialized():
        return None
    words = run_folder.read_overrides(run)
    try:
        before = hydra.compose("config", words, return_hydra_config=True).hydra.runtime.choices
    except HydraException:  # of a folder of configuration that is not named now
        return None
    now = HydraConfig.get().runtime.choices
    differ = [group for group in before if before[group] != now.get(group) and _makes_the_run(group)]
    if not differ:
        return None
    group = next((group for group in differ if is_at(key, group)), differ[0])
    settings = [word for word in words if word.lstrip("+~").startswith(f"{group}.")]
    return f"{group} was {before[group]} and is {now.get(group)} now", " ".join([f"{group}={before[group]}", *settings])


def _makes_the_run(group: str) -> bool:
    return not may_change(group) and re.fullmatch(r"\w+", group) is not None


def _as_typed(value: Any) -> str:
    """A value as the command line takes it."""
    return "null" if value is None else str(value)


def check_same_data(run: Path, now: Mapping[str, Any]) -> None:
    """Refuse to continue a run on other problems than it began with: a file or a dataset has changed.

    Raises:
        UserError: naming the split, or `run.json` when it cannot tell.
    """
    described = run_folder.read_json(run / run_folder.RUN)
    if "data" not in described and described.get("format") != 1:
        raise UserError(
            f"{run / run_folder.RUN} is damaged: it has no data; restore it from a copy, or start a new run"
        )
    before = described.get("data", {})
    for split in ("train", "validation", "test"):
        if split in before and before[split] != now[split]:
            raise UserError(
                f"ckpt={run}: its {split} split had {before[split]['problems']} problems, the same settings now give "
                f"{now[split]['problems']}, or others; restore the data, say where it is now (data.path=...), or start "
                "a new run"
            )


def check_same_base(run: Path, path: str | None, now: str | None) -> None:
    """Refuse to continue a run from a base model that is not the one it began with, wherever that lies now.

    A run of an earlier version has not written down what its base was.

    Raises:
        UserError: naming the folder.
    """
    before = run_folder.read_json(run / run_folder.RUN).get("base")
    was = flat(run_folder.read_config(run)).get("model.path")
    if was is None and path is None:
        return  # `model.pretrain` says what it is; another machine pretrains it with other rounding
    if before is None and was != path:
        raise UserError(
            f"ckpt={run}: model.path was {was} and is {path} now, and the run has not written down which weights those "
            "were; keep it as it was, or start a new run"
        )
    if before is not None and before != now:
        raise UserError(
            f"ckpt={run}: its base model was {was or 'that of model.pretrain'}, and model.path={path} holds other "
            "weights; say where the same are now with model.path=FOLDER, or start a new run"
        )


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}, with today's names of classes."""
    if not isinstance(tree, dict):
        return {prefix: current_name(tree) if prefix.endswith(f".{TARGET}") and isinstance(tree, str) else tree}
    return {key: value for k, v in tree.items() for key, value in flat(v, f"{prefix}.{k}" if prefix else k).items()}

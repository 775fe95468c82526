"""What a run has otherwise than the run of the paper that its model or experiment stands for."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import hydra
import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rsgrpo.command_line.own_names import CONF
from rsgrpo.command_line.same_run import MAY_MOVE, WORKERS_OF_REWARDS, flat, is_at
from rsgrpo.composition.device import precision_of
from rsgrpo.fields import as_typed

PAPER = "paper/"
"""The experiments that are runs of the paper."""

COMPARED = ("objective", "schedule", "seed")
"""What the runs of the paper themselves differ in."""

NO_DEPARTURE = (
    *COMPARED,
    *("ckpt", "task", "callbacks", "logger", "bandit", "demonstrations", "trainer", "rollout"),
    *("batching.row_tokens", "model.chunk_tokens", "model.cache_dir", "data.cache_dir"),
    *("eval.cache_dir", "eval.every", "eval.test_every", "eval.keep", "eval.base", "eval.k"),
)
"""Keys that change no number of a run, or only what is written down; trainer and engine are compared by choice."""

GROUPS = ("model", "data", "reward", "loss", "shaping", "filter", "eval")
"""Groups of which another choice is one departure, whatever keys it has."""

SHARED = ("model.lora", "data.system", "data.few_shot")
"""Keys that every choice of their group has."""


def departures(cfg: DictConfig) -> list[str]:
    """`key=value (the paper's value)` of a run of the paper; none of any other run, and of one that is as the paper's.

    How many GPUs there are is no departure: a run is the same on any number, and the paper does not say.
    """
    choices = HydraConfig.get().runtime.choices
    word = run_of_the_paper(choices["model"], choices["experiment"])
    if word is None:
        return []
    own = hydra.compose("config", [word], return_hydra_config=True)
    theirs = own.hydra.runtime.choices
    swapped = [group for group in GROUPS if choices.get(group) != theirs.get(group)]
    return [
        *(f"{group}={choices[group]} ({theirs[group]})" for group in swapped),
        *(f"{key}={as_typed(now)} ({as_typed(was)})" for key, now, was in _differing(cfg, own, swapped)),
        *([] if choices["rollout"] == theirs["rollout"] else [f"rollout={choices['rollout']} ({theirs['rollout']})"]),
        *_trainer(cfg, own, str(choices["trainer"])),
    ]


def run_of_the_paper(model: str, experiment: str | None) -> str | None:
    """The word that composes the paper's own run, where this model or experiment is one of them.

    >>> run_of_the_paper("qwen3_4b", None), run_of_the_paper("qwen3_4b", "gsm8k"), run_of_the_paper("tiny", None)
    ('model=qwen3_4b', None, None)
    """
    if experiment is not None:
        return f"experiment={experiment}" if str(experiment).startswith(PAPER) else None
    file = CONF / "model" / f"{model}.yaml"
    if not file.is_file():  # in a folder of the user's
        return None
    parts = yaml.safe_load(file.read_text(encoding="utf-8")).get("defaults", [])
    return f"model={model}" if any(str(part).startswith(f"/experiment/{PAPER}") for part in parts) else None


def _differing(cfg: DictConfig, own: DictConfig, swapped: list[str]) -> Iterator[tuple[str, Any, Any]]:
    """(key, value, the paper's value), in the order of the configuration; not of what follows from another key."""
    now, was = _settings(cfg), _settings(own)
    written, theirs = _settings(cfg, resolve=False), _settings(own, resolve=False)
    for key in dict.fromkeys([*now, *was]):
        whole = any(is_at(key, group) for group in swapped) and not any(is_at(key, shared) for shared in SHARED)
        alike = now.get(key) == was.get(key) or written.get(key) == theirs.get(key)
        if not (whole or alike or WORKERS_OF_REWARDS.fullmatch(key) or _is_moved(key, now, was)):
            yield key, now.get(key), was.get(key)


def _settings(cfg: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    sections = [str(name) for name in cfg if name != "hydra" and name not in NO_DEPARTURE]
    found: dict[str, Any] = {}
    for name in sections:
        value = cfg[name]
        found |= flat({name: OmegaConf.to_container(value, resolve=resolve) if OmegaConf.is_config(value) else value})
    return {key: value for key, value in found.items() if not any(is_at(key, free) for free in NO_DEPARTURE)}


def _is_moved(key: str, now: dict[str, Any], was: dict[str, Any]) -> bool:
    """Whether a key says where the same problems lie, or a folder that is called as the model is."""
    if key == "model.path":
        return PurePosixPath(str(now.get(key))).name == PurePosixPath(str(was.get(key))).name
    return MAY_MOVE.fullmatch(key) is not None


def _trainer(cfg: DictConfig, own: DictConfig, choice: str) -> list[str]:
    accelerator = cfg.trainer.get("accelerator")
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return [f"trainer={choice}{'' if choice == 'cpu' else ' on the CPU'} (gpu)"]
    now, was = precision_of(cfg), precision_of(own)
    return [] if now == was else [f"trainer.precision={now} ({was})"]

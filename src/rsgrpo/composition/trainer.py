"""`trainer=`: Lightning's trainer, and how the policy is laid out on the devices."""

import errno
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, ListConfig

from rsgrpo.command_line.arguments import words_of_job
from rsgrpo.command_line.program import started_again
from rsgrpo.composition.build import build
from rsgrpo.composition.callbacks import build_callbacks
from rsgrpo.composition.device import checkpoints_activations, precision_of
from rsgrpo.distributed import ranks
from rsgrpo.distributed.sharding import Sharding
from rsgrpo.distributed.strategy import FSDP2
from rsgrpo.errors import UserError
from rsgrpo.loggers.metrics_file import MetricsFile
from rsgrpo.training.lightning_trainer import lightning_trainer
from rsgrpo.training.recipe import Recipe

T = TypeVar("T")

MOST_DEVICES = 128

OURS = (
    *("threads", "strategy", "precision", "activation_checkpointing", "compile"),
    *("weights", "offload_optimizer", "cpu_offload", "check_memory"),
)
"""Keys of `trainer` that Lightning does not get unchanged."""


def is_sharded(cfg: DictConfig) -> bool:
    """Whether the policy is sharded by FSDP2."""
    return cfg.trainer.get("strategy") is not None


def build_sharding(cfg: DictConfig) -> Sharding:
    """How the layers are laid out and computed."""
    mixed = is_sharded(cfg) and precision_of(cfg) == "bf16-mixed"
    return Sharding(
        compute_dtype=torch.bfloat16 if mixed else None,
        activation_checkpointing=checkpoints_activations(cfg),
        compile=cfg.trainer.compile,
        cpu_offload=cfg.trainer.cpu_offload,
    )


def build_trainer(cfg: DictConfig, run: Path, recipe: Recipe) -> lightning.Trainer:
    """Lightning's trainer as one endless epoch: the module itself ends the run after its last iteration.

    Nothing is validated until `limit_val_batches` says that there is something to validate on.

    Raises:
        UserError: for what Lightning refuses.
    """
    check_devices(cfg)
    check_savings(cfg)
    settings: dict[str, Any] = {str(key): value for key, value in cfg.trainer.items() if key not in OURS}
    precision = precision_of(cfg)
    if is_sharded(cfg):
        strategy = build(cfg.trainer, "strategy")
        if isinstance(strategy, FSDP2):
            strategy.command = _command(run)
            strategy.cpu_offload = cfg.trainer.cpu_offload
        # FSDP2 converts the gathered weights itself; its shards stay float32.
        settings |= {"strategy": strategy, "precision": "32-true" if precision == "bf16-mixed" else precision}
    else:
        settings["precision"] = precision
    loggers: list[Logger] = [MetricsFile(run), _built_as(cfg, "logger", Logger)]
    _check_place(loggers[-1], run)
    callbacks = build_callbacks(cfg, recipe)
    try:
        return lightning_trainer(recipe, run, callbacks, loggers, **settings)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def _check_place(logger: Logger, run: Path) -> None:
    """Refuse a folder for a logger that cannot be made, before the first record is due. No folder is left behind."""
    if logger.save_dir is None or not ranks.is_first():
        return
    folder = Path(logger.save_dir).expanduser()
    missing = [] if folder == run else [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        if missing:
            folder.mkdir(parents=True)
        elif folder != run and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        raise UserError(
            f"logger.save_dir={logger.save_dir} cannot be made ({error.strerror}); leave it out: the run folder"
        ) from error
    finally:
        for path in missing:
            if path.is_dir():
                path.rmdir()


def _built_as(cfg: DictConfig, key: str, kind: type[T]) -> T:
    """The object of a key, which Lightning takes for a `kind`."""
    made = build(cfg, key)
    if not isinstance(made, kind):
        target = f"{cfg._get_full_key(key)}._target_"
        raise UserError(
            f"{target}={cfg[key]._target_} is not a {kind.__module__}.{kind.__qualname__}; inherit from that, or "
            f"remove {target}"
        )
    return made


def check_devices(cfg: DictConfig) -> None:
    """Refuse anything that is not a number of devices, and processes that would each train a policy of their own.

    Raises:
        UserError: naming the key and the cure.
    """
    devices = cfg.trainer.devices
    if not (devices == "auto" or isinstance(devices, ListConfig) or (type(devices) is int and devices > 0)):
        raise UserError(
            f"trainer.devices={devices} must be a whole number of at least 1, or auto; try trainer.devices=1"
        )
    if isinstance(devices, int) and devices > MOST_DEVICES:
        raise UserError(
            f"trainer.devices={devices} must be at most {MOST_DEVICES}, processes of a node; try trainer.devices=1"
        )
    if isinstance(devices, ListConfig) and not (devices and all(type(device) is int for device in devices)):
        raise UserError(f"trainer.devices={devices} must list numbers of GPUs; try trainer.devices=[0]")
    if not is_sharded(cfg) and devices != 1 and not (isinstance(devices, ListConfig) and len(devices) == 1):
        cure = f"trainer=fsdp2 trainer.devices={devices}"
        if "strategy" in cfg.trainer:
            cure = "trainer.devices=1, or leave trainer.strategy as it is"
        raise UserError(f"trainer.devices={devices}: this trainer has one process; try {cure}")


def check_savings(cfg: DictConfig) -> None:
    """Refuse ways to save memory that the other settings do not allow.

    Raises:
        UserError: naming the key and the cure.
    """
    trainer = cfg.trainer
    if trainer.cpu_offload and not is_sharded(cfg):
        raise UserError(
            "trainer.cpu_offload=true is FSDP2's; try trainer=fsdp2 trainer.devices=1, or first "
            "trainer.offload_optimizer=true, which takes less time"
        )
    if trainer.weights == "bfloat16" and cfg.optimizer.get("_target_") == "rsgrpo.training.optimizer.AdamW":
        raise UserError(
            "trainer.weights=bfloat16: AdamW loses every update that is smaller than half a step of bfloat16; "
            "optimizer=adamw8bit rounds stochastically"
        )


def _command(run: Path) -> list[str]:
    """The command line that makes another process do the same run: a sweep's job gets its own overrides."""
    given, job = sys.argv[1:], HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:
        given = [*_flags(given), *words_of_job()]
    return [*started_again(), *given, f'hydra.run.dir="{run}"']


def _flags(arguments: list[str]) -> list[str]:
    """The options of a sweep's command line that its jobs need too: where else configuration lies."""
    named = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")
    kept: list[str] = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument in named:
            kept += [argument, following]
        elif argument.split("=", 1)[0] in named:
            kept.append(argument)
    return kept

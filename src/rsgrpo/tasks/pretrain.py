"""`python run.py task=pretrain`: make the base model of `model=tiny`; training does it by itself on first use."""

from omegaconf import DictConfig
from rich.console import Console

from rsgrpo.tasks.machine import set_threads
from rsgrpo.tasks.policy import policy_folder
from rsgrpo.types import UserError


def pretrain(cfg: DictConfig) -> None:
    """Pretrain the base model, or find it in the cache, and say where it lies.

    Raises:
        UserError: for a model that is not pretrained here.
    """
    if cfg.model.pretrain is None or cfg.model.path is not None:
        raise UserError(f"task=pretrain: the base is model.path={cfg.model.path}, not pretrained here; use model=tiny")
    set_threads(cfg)
    Console().print(f"base model: {policy_folder(cfg)}", soft_wrap=True)

"""`python run.py task=pretrain`: where the base of `model=tiny` lies, or one made anew; training finds its own."""

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from rsgrpo.composition.machine import set_threads
from rsgrpo.composition.policy import base_recipe, policy_folder, shown_progress
from rsgrpo.errors import UserError, fields_belong_to
from rsgrpo.pretraining.bases import make_base


def pretrain(cfg: DictConfig) -> None:
    """Find the base model, or pretrain it, into `task.folder` if that is set, and say where it lies.

    Raises:
        UserError: for a model that is not pretrained here, or a folder that is there already.
    """
    if cfg.model.pretrain is None or cfg.model.path is not None:
        raise UserError(f"task=pretrain: the base is model.path={cfg.model.path}, not pretrained here; use model=tiny")
    set_threads(cfg)
    folder = policy_folder(cfg) if cfg.task.folder is None else _made_anew(cfg)
    Console().print(f"base model: {folder}", soft_wrap=True)


def _made_anew(cfg: DictConfig) -> Path:
    folder, recipe = Path(str(cfg.task.folder)).expanduser(), base_recipe(cfg)
    if folder.exists():
        raise UserError(f"task.folder={cfg.task.folder} exists already; name another folder")
    with shown_progress(recipe) as progress, fields_belong_to("task", "folder"):
        make_base(recipe, folder, progress, key="folder")
    return folder

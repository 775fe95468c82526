"""`python run.py task=evaluate model.path=FOLDER`: pass@k of a policy, with no training."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig
from rich.console import Console

from rsgrpo.analysis.summary import print_evaluation
from rsgrpo.composition.assemble import Assembled, assemble, describe_run
from rsgrpo.composition.machine import check_run_folder, claim_run_folder
from rsgrpo.composition.policy import digest_of_base
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.composition.summary import say_what_runs
from rsgrpo.distributed import ranks
from rsgrpo.distributed.strategy import leave_others
from rsgrpo.errors import UserError
from rsgrpo.rewards.base import close
from rsgrpo.training.lightning_trainer import failures_name_their_callback

SPLITS = ("validation", "test")


def evaluate(cfg: DictConfig) -> None:
    """Sample the splits of `task.splits` with the engine of `rollout`, and leave their counts and a table of pass@k.

    Raises:
        UserError: for a mistake in the configuration, its data or its machine.
    """
    _check(cfg)
    recipe = build_recipe(cfg)
    try:
        run = Path(HydraConfig.get().runtime.output_dir)
        if ranks.is_first():
            check_run_folder(run, resumes=False)
        assembled = assemble(cfg, recipe, run, splits=tuple(cfg.task.splits))
        empty = [split for split in cfg.task.splits if not getattr(assembled.data, split)]
        if empty:
            raise UserError(f"task.splits: the {empty[0]} split is empty; name another, or set data.*")
        if ranks.is_first():
            claim_run_folder(run)
            describe_run(run, cfg, assembled.described, base=digest_of_base(cfg), resumes=False)
            say_what_runs(cfg, recipe, assembled, run, trains=False)
        _sample(assembled)
    finally:
        close(recipe.reward)
    if ranks.is_first():
        print_evaluation(run, Console())


def _sample(assembled: Assembled) -> None:
    module, data, _, trainer = assembled
    try:
        with failures_name_their_callback(trainer):
            if data.validation:
                trainer.validate(module, datamodule=data, verbose=False)
            if data.test:
                trainer.test(module, datamodule=data, verbose=False)
    finally:
        module.close()
        leave_others(trainer.strategy.launcher)


def _check(cfg: DictConfig) -> None:
    """Refuse what would evaluate nothing, or write down nothing."""
    if cfg.ckpt is not None:
        raise UserError(
            f"ckpt={cfg.ckpt} is for training; evaluate the policy that a run has exported: try "
            f"model.path={cfg.ckpt}/policy"
        )
    splits = cfg.task.splits
    if not isinstance(splits, ListConfig) or not splits or not set(splits) <= set(SPLITS):
        raise UserError(f"task.splits={splits} must list some of {', '.join(SPLITS)}; try task.splits=[test]")
    if not cfg.callbacks.get("evaluation"):
        raise UserError("callbacks.evaluation is off, and nothing else writes results; leave callbacks as it is")

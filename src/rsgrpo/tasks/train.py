"""`python run.py`: train a policy by RL, from configuration to run folder."""

import logging
import signal
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.summary import print_summary
from rsgrpo.batching.filters import DropEqualRewards
from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.rewards.base import close
from rsgrpo.tasks.compose import build, build_recipe
from rsgrpo.tasks.machine import check_run_folder, claim_run_folder, set_threads
from rsgrpo.tasks.policy import load_policy
from rsgrpo.tasks.prompts import describe, load_prompts
from rsgrpo.tasks.resume import check_same_data, check_same_run
from rsgrpo.training.clock import StageClock
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.metrics_file import MetricsFile
from rsgrpo.training.module import RLModule
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import UserError, field_errors_name_their_key

PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "64-true")
"""float16 needs a loss scale, which gradient clipping does not undo."""


def train(cfg: DictConfig) -> None:
    """Check everything, evaluate the base, train, evaluate again, and leave a run folder behind.

    Raises:
        UserError: for a mistake in the configuration, its data or its machine.
    """
    recipe = build_recipe(cfg)
    try:
        _train(cfg, recipe)
    finally:
        close(recipe.reward)


def _train(cfg: DictConfig, recipe: Recipe) -> None:
    clock = StageClock()
    with clock.stage("setup"):
        run = Path(HydraConfig.get().runtime.output_dir)
        source = build(cfg, "data")
        checkpoint = _checkpoint_to_resume(cfg)
        check_run_folder(run, resumes=checkpoint is not None)
        _say_what_the_filter_takes(recipe)
        _quiet_lightning()
        set_threads(cfg)
        policy = load_policy(cfg)
        data = load_prompts(source, policy, recipe, chat_template=cfg.model.chat_template)
        with field_errors_name_their_key("rollout"):
            engine = build(cfg, "rollout")(policy=policy)
        module = RLModule(policy, engine, recipe, train_set_size=len(data.train))
        trainer = _trainer(cfg, run, recipe, validates=bool(data.validation))
        described = describe(source, data)
        if checkpoint is not None:
            check_same_data(run, described)
        _begin_run_folder(run, cfg, checkpoint, described)
    if checkpoint is None:
        with clock.stage("base_evaluation"):
            _evaluate(trainer, module, data, validation=True)
    with clock.stage("training"):
        _fit(trainer, module, data, run, checkpoint)
    with clock.stage("final_evaluation"):
        _evaluate(trainer, module, data, validation=False)
    with clock.stage("export"):
        policy.save_pretrained(run / run_folder.POLICY)
    seconds = clock.read()
    seconds["total"] = seconds.pop("step")
    run_folder.write_json(run / run_folder.DONE, {"iteration": module.iteration, "seconds": seconds})
    print_summary(run, Console())


def _fit(trainer: lightning.Trainer, module: RLModule, data: PromptData, run: Path, checkpoint: Path | None) -> None:
    """Train; when Ctrl-C ends it, say how to go on.

    Raises:
        SystemExit: 128 + SIGINT after Ctrl-C.
    """
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    except SystemExit:  # this is how Lightning leaves after Ctrl-C
        if not trainer.interrupted:
            raise
        saved = run_folder.checkpoints(run)
        go_on = (
            f"go on from iteration {run_folder.iteration_of(saved[-1])} with: python run.py ckpt={run}"
            if saved
            else "no checkpoint was saved yet (callbacks.checkpoint.every), so start it again"
        )
        Console(stderr=True).print(f"interrupted after iteration {module.iteration}; {go_on}", soft_wrap=True)
        raise SystemExit(128 + signal.SIGINT) from None


def _say_what_the_filter_takes(recipe: Recipe) -> None:
    """Some objectives teach from groups of equal rewards, which dynamic sampling drops: the user should know."""
    n = recipe.batching.completions_per_prompt
    rewards = torch.stack([torch.ones(n), torch.zeros(n)])
    context = AdvantageContext(
        iteration=1, prompt_ids=["all right", "all wrong"], sampler_logprobs=-torch.arange(1.0, n + 1).expand(2, n) / n
    )
    taught = recipe.objective.advantages(rewards, context).abs().amax(dim=1) > 1e-6
    if isinstance(recipe.filter, DropEqualRewards) and taught.any():
        groups = " and ".join(name for name, teaches in zip(context.prompt_ids, taught, strict=True) if teaches)
        Console(stderr=True).print(
            f"note: this objective learns from groups that are {groups} too, and filter=drop_equal_rewards drops them; "
            "filter=none keeps them",
            soft_wrap=True,
            highlight=False,
        )


def _trainer(cfg: DictConfig, run: Path, recipe: Recipe, *, validates: bool) -> lightning.Trainer:
    """Lightning's trainer as one endless epoch: the module itself ends the run after its last iteration."""
    settings = {key: value for key, value in cfg.trainer.items() if key != "threads"}
    loggers: list[Logger] = [MetricsFile(run), build(cfg, "logger")]
    callbacks = [build(cfg.callbacks, name) for name, callback in cfg.callbacks.items() if callback]
    ours: dict[str, Any] = dict(
        max_epochs=-1,
        logger=loggers,
        callbacks=callbacks,
        val_check_interval=recipe.evaluation.every,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=run,
    )
    if settings["precision"] not in PRECISIONS:
        raise UserError(f"trainer.precision={settings['precision']} is not one of {', '.join(PRECISIONS)}; choose one")
    try:
        return lightning.Trainer(**settings, **ours)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise UserError(f"trainer: {error}") from error


def _evaluate(trainer: lightning.Trainer, module: RLModule, data: PromptData, *, validation: bool) -> None:
    """Sample the splits that exist."""
    if validation and data.validation:
        trainer.validate(module, datamodule=data, verbose=False)
    if data.test:
        trainer.test(module, datamodule=data, verbose=False)


def _checkpoint_to_resume(cfg: DictConfig) -> Path | None:
    if cfg.ckpt is None:
        return None
    run, checkpoint = run_folder.find_checkpoint(cfg.ckpt)
    check_same_run(run, cfg)
    done = run_folder.iteration_of(checkpoint)
    if done >= cfg.iterations:
        raise UserError(f"ckpt={cfg.ckpt} has finished {done} iterations already; extend it with iterations={2 * done}")
    return checkpoint


def _begin_run_folder(run: Path, cfg: DictConfig, checkpoint: Path | None, data: dict[str, Any]) -> None:
    """What was asked for, with which versions and data; a resumed run first forgets what came after its checkpoint."""
    console = Console(stderr=True)
    if checkpoint is None:
        claim_run_folder(run)
        console.print(f"run folder: {run}", soft_wrap=True, highlight=False)
    else:
        done = run_folder.iteration_of(checkpoint)
        console.print(f"resuming {run} after iteration {done}; later records are written anew", soft_wrap=True)
        run_folder.rewind(run, done)
    OmegaConf.save(cfg, run / run_folder.CONFIG, resolve=True)
    OmegaConf.save(HydraConfig.get().overrides.task, run / run_folder.OVERRIDES)
    packages = ("rsgrpo", "torch", "lightning", "transformers", "numpy")
    versions = {name: version(name) for name in packages}
    run_folder.write_json(run / run_folder.RUN, {"format": run_folder.FORMAT, "versions": versions, "data": data})


def _quiet_lightning() -> None:
    """Silence what Lightning says about choices that are made on purpose here."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*Trying to infer the `batch_size`.*",
        ".*GPU available but not used.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
    ):
        warnings.filterwarnings("ignore", message)

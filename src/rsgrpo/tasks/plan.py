"""`python run.py task=plan`: memory, time and disk of the run that the other words would start; it starts none."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.analysis.plan_table import print_plan
from rsgrpo.analysis.tables import wide_console
from rsgrpo.composition.machine import check_run_folder
from rsgrpo.composition.plan import content_of, plan_of, refusal
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.composition.settings import model_settings, run_settings, trainer_settings
from rsgrpo.errors import UserError
from rsgrpo.rewards.base import close


def plan(cfg: DictConfig) -> None:
    """Print what a run needs, and leave all numbers in `plan.json`.

    Raises:
        UserError: for a mistake in the configuration, and, once the plan is printed, for a run that does not fit.
    """
    for checked in (run_settings, trainer_settings, model_settings):
        checked(cfg)
    run = Path(HydraConfig.get().runtime.output_dir)
    check_run_folder(run, resumes=False)
    recipe = build_recipe(cfg)
    try:
        made = plan_of(cfg, recipe)
    finally:
        close(recipe.reward)
    advised = None if made.memory.fits else made.advice()
    OmegaConf.save(cfg, run / run_folder.CONFIG, resolve=True)
    run_folder.write_json(run / run_folder.PLAN, content_of(made, advised))
    console = wide_console()
    print_plan(run, console)
    console.print(f"run folder: {run}", soft_wrap=True, highlight=False)
    if advised is not None:
        raise UserError(refusal(made.memory, advised))

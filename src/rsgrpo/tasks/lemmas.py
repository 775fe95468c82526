"""`python run.py task=lemmas`: the paper's lemmas as experiments."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.lemmas import draw_lemmas, print_lemmas
from rsgrpo.bandit.lemmas import check_lemmas, random_bandits
from rsgrpo.composition.build import build_as
from rsgrpo.composition.machine import check_run_folder, set_threads
from rsgrpo.composition.settings import LemmaSettings


def lemmas(cfg: DictConfig) -> None:
    """Check the lemmas on random bandits, and leave a table, `lemmas.json` and a figure.

    Raises:
        UserError: when there are not more arms than best arms.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    set_threads(cfg)
    task = build_as(cfg, "task", LemmaSettings)
    check_run_folder(run, resumes=False)
    checks = [
        check_lemmas(
            random_bandits(task.bandits, task.arms, seed=cfg.seed, optimal_arms=optimal), float(rate), task.points
        )
        for optimal in task.optimal_arms
        for rate in task.learning_rates
    ]
    OmegaConf.save(cfg, run / run_folder.CONFIG, resolve=False)
    run_folder.write_json(run / run_folder.LEMMAS, {"arms": task.arms, "checks": checks}, indent=None)
    console = Console()
    figure = draw_lemmas(run)
    print_lemmas(run, console)
    console.print(f"figure: {figure} (and .svg)", soft_wrap=True, highlight=False)
    console.print(f"run folder: {run}", soft_wrap=True, highlight=False)

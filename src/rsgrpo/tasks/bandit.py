"""`python run.py task=bandit`: the paper's 100-armed bandit, with any objective and any schedule."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress

from rsgrpo import run_folder
from rsgrpo.analysis.bandit_figures import draw_bandit
from rsgrpo.analysis.bandit_table import print_bandit
from rsgrpo.audit.flow import accuracies
from rsgrpo.bandit.landscape import TwoArms
from rsgrpo.bandit.play import Bandit, play
from rsgrpo.bandit.trajectories import Trajectories
from rsgrpo.composition.build import build, build_as
from rsgrpo.composition.choices import every_objective, is_set, named_objective, refusal
from rsgrpo.composition.machine import check_run_folder, set_threads
from rsgrpo.composition.settings import BanditSettings
from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.base import Objective
from rsgrpo.schedules.base import Schedule
from rsgrpo.schedules.driven import replaced, scheduled_field

EVERY = "objectives"
"""The choice of `bandit=` that plays all objectives."""

QUANTILES = (0.1, 0.5, 0.9)
"""Over the seeds: the bands of the figures."""


def bandit(cfg: DictConfig) -> None:
    """Play, and leave a table, `bandit.json`, figures and an animation.

    Raises:
        UserError: for a mistake in the configuration.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    set_threads(cfg)
    settings, experiment = build_as(cfg, "task", BanditSettings), build(cfg, "bandit")
    if not is_set("iterations"):
        cfg.iterations = experiment.updates  # what a schedule counts
    schedule = build(cfg, "schedule")
    every = HydraConfig.get().runtime.choices["bandit"] == EVERY and not is_set("objective")
    objectives = every_objective(settings.settings) if every else dict([named_objective(cfg)])
    check_run_folder(run, resumes=False)
    played, refused = [], {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("playing", total=len(objectives) * experiment.updates)
        for i, (name, objective) in enumerate(objectives.items()):
            bar.update(task, description=f"playing {name}", completed=i * experiment.updates)

            def show(update: int, done: int = i * experiment.updates) -> None:
                bar.update(task, completed=done + update)

            try:
                trajectories = _play(experiment, objective, schedule, progress=show)
                field = scheduled_field(objective)
                own = None if field is None or schedule.changes_value else getattr(objective, field)
                record = {"field": field, "own_value": own, **_record(name, trajectories)}
                if _is_followed(experiment, schedule):
                    _add_flows(record, experiment, objective)
                played.append(record)
            except (UserError, FieldError) as error:
                if not every:
                    raise UserError(refusal(error, "bandit.batch")) from error
                refused[name] = refusal(error, "bandit.batch")
    content = {
        "landscape": {
            "reward": experiment.landscape.rewards().tolist(),
            "policy": experiment.landscape.logits().softmax(0).tolist(),
        },
        "pulls": experiment.pulls,
        "window": experiment.window,
        "seeds": experiment.stream.seeds,
        "escaped_above": experiment.escaped_above,
        "played": played,
        "refused": refused,
    }
    OmegaConf.save(cfg, run / run_folder.CONFIG, resolve=False)
    run_folder.write_json(run / run_folder.BANDIT, content, indent=None)
    figures = draw_bandit(run)
    console = Console()
    print_bandit(run, console)
    for file in figures:
        console.print(f"figure: {file}", soft_wrap=True, highlight=False)
    console.print(f"run folder: {run}", soft_wrap=True, highlight=False)


def _play(experiment: Bandit, objective: Objective, schedule: Schedule, **options: Any) -> Trajectories:
    """With `bandit.values`, unless the command line has said which beta it wants or the objective has none."""
    name = scheduled_field(objective)
    own = name != "beta" or is_set(f"objective.{name}")
    if own and not is_set("bandit.values"):
        experiment = replace(experiment, values=None)
    schedule.check(objective, experiment.batch)
    return play(experiment, objective, schedule, thresholds=_thresholds(experiment), **options)


def _is_followed(experiment: Bandit, schedule: Schedule) -> bool:
    """Whether the play is what the flow describes: a right arm and a wrong one, plain steps, one value throughout."""
    two = isinstance(experiment.landscape, TwoArms) and not experiment.landscape.noise
    sampled = experiment.gradient == "sampled" and not schedule.changes_value
    return two and sampled and _rate(experiment) is not None


def _rate(experiment: Bandit) -> float | None:
    """The learning rate of plain SGD; None for any other optimiser."""
    optimizer = experiment.optimizer([torch.nn.Parameter(torch.zeros(1))])
    plain = isinstance(optimizer, torch.optim.SGD) and not optimizer.defaults["momentum"]
    return float(optimizer.defaults["lr"]) if plain and not optimizer.defaults["weight_decay"] else None


def _add_flows(record: dict[str, Any], experiment: Bandit, objective: Objective) -> None:
    """The accuracy that the expected gradient leads to, at the middle of each window of the moving average."""
    rate, landscape = _rate(experiment), experiment.landscape
    assert isinstance(landscape, TwoArms)
    assert rate is not None
    middles = [(pulls + experiment.window / 2) / experiment.batch for pulls in record["pulls"]]
    times = [0.0, *(2 * rate * updates for updates in middles)]  # both logits are trained: twice as fast
    number = int if record["field"] == "k" else float
    for run in record["runs"]:
        of = objective if run["value"] is None else replaced(objective, record["field"], number(run["value"]))
        run["flow"] = accuracies(of, experiment.batch, landscape.start, times)[1:].tolist()


def _thresholds(experiment: Bandit) -> tuple[float, ...]:
    """Those of the published table, and the one that tells escape."""
    return tuple(sorted({0.5, 0.7, experiment.escaped_above}))


def _record(name: str, trajectories: Trajectories) -> dict[str, Any]:
    """One objective as plain numbers: an entry per value, curves as quantiles over the seeds."""
    quantiles = torch.tensor(QUANTILES, dtype=torch.float64)
    runs = []
    for v, value in enumerate(trajectories.values):
        runs.append(
            {
                "value": value,
                "final_reward": trajectories.final_reward[v].tolist(),
                "final_entropy": trajectories.final_entropy[v].tolist(),
                "crossings": {f"{t:g}": _without_nan(at[v]) for t, at in trajectories.crossings.items()},
                "reward": trajectories.reward[v].quantile(quantiles, dim=0).tolist(),
                "entropy": trajectories.entropy[v].quantile(quantiles, dim=0).tolist(),
                "policies": [[round(p, 6) for p in policy] for policy in trajectories.policies[v].tolist()],
            }
        )
    return {"name": name, "pulls": trajectories.pulls.tolist(), "resolution": trajectories.resolution, "runs": runs}


def _without_nan(values: torch.Tensor) -> Sequence[float | None]:
    return [None if value != value else value for value in values.tolist()]

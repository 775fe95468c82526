"""A summary of a run, in a few aligned lines at its start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rsgrpo.composition.assemble import Assembled
from rsgrpo.composition.departures import departures
from rsgrpo.composition.device import precision_of
from rsgrpo.distributed.terminal import terminal
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What is known of a run once it is assembled, and not from its configuration."""

    parameters: int
    trained: int
    """How many of the parameters are trained."""
    problems: Mapping[str, int]
    """By split."""
    processes: int
    half_precision: bool = False
    """Whether the engine samples in 16 bits."""


def say_what_runs(cfg: DictConfig, recipe: Recipe, assembled: Assembled, run: Path, *, trains: bool = True) -> None:
    """Print the summary of a run that is about to start, on rank 0; without training, of what it samples."""
    lines = summary(cfg, recipe, _sizes(assembled), run, trains=trains)
    terminal().print(lines, soft_wrap=True, highlight=False, markup=False)


def summary(cfg: DictConfig, recipe: Recipe, sizes: Sizes, run: Path, *, trains: bool = True) -> str:
    """One aligned line on each part of a run, the choice of its group first."""
    departs = departures(cfg) if trains else []
    lines = {
        **({"objective": _objective(cfg, recipe), "loss": _loss(cfg, recipe)} if trains else {}),
        "model": _model(cfg, sizes),
        "data": _data(sizes.problems) + (_order() if trains else ""),
        **({"batch": _batch(recipe)} if trains else {"samples": _samples(recipe.evaluation, sizes.problems)}),
        "engine": f"{_choice('rollout')}, completions of up to {recipe.sampling.max_new_tokens:,} tokens"
        f"{_correction(cfg, recipe, sizes) if trains else ''}",
        "trainer": f"{_choice('trainer')}, {_counted(sizes.processes, 'process')}, {precision_of(cfg)}",
        **({"departs": f"from the paper: {', '.join(departs)}"} if departs else {}),
        "run folder": str(run),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())


def _sizes(assembled: Assembled) -> Sizes:
    counted = [(parameter.numel(), parameter.requires_grad) for parameter in assembled.module.policy.parameters()]
    data, trainer = assembled.data, assembled.trainer
    return Sizes(
        parameters=sum(size for size, _ in counted),
        trained=sum(size for size, trained in counted if trained),
        problems={"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        processes=trainer.num_devices * trainer.num_nodes,
        half_precision=assembled.module.half_precision,
    )


def _objective(cfg: DictConfig, recipe: Recipe) -> str:
    name = _choice("objective")
    method = [name if name != "custom" else cfg.objective._target_, *_settings(cfg.objective)]
    schedule = _settings(cfg.schedule, without={"iterations": cfg.iterations, "rescale": "none"})
    return f"{' '.join(method)}; schedule {' '.join([_choice('schedule'), *schedule])}"


def _settings(node: DictConfig, *, without: Mapping[str, Any] | None = None) -> list[str]:
    """`beta=2`, for each setting that has a value, except for the one that goes without saying."""
    obvious = without or {}
    given = {str(key): node[key] for key in node if not str(key).startswith("_")}
    said = {key: value for key, value in given.items() if value is not None and value != obvious.get(key)}
    return [f"{key}={_text(value)}" for key, value in said.items()]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _loss(cfg: DictConfig, recipe: Recipe) -> str:
    terms = "".join(f" + {_term(cfg, name)}" for name in recipe.terms)
    refills = f", {_counted(recipe.batching.max_refills, 'refill')} at most" if recipe.batching.max_refills else ""
    kept = f"{_shaping(cfg, recipe)}filter {_choice('filter')}{refills}"
    return f"{_choice('loss')}, {recipe.loss.aggregation}{terms}; {kept}; {_learning_rate(recipe)}"


def _shaping(cfg: DictConfig, recipe: Recipe) -> str:
    """What makes the advantages of tokens, where something does."""
    if recipe.shaping.off:
        return ""
    chosen = _choice("shaping")
    name = chosen if chosen != "custom" else cfg.shaping._target_
    return f"advantages shaped by {' '.join([name, *_settings(cfg.shaping)])}; "


def _term(cfg: DictConfig, name: str) -> str:
    chosen = HydraConfig.get().runtime.choices.get(f"term/{name}") or cfg.term[name]._target_
    return " ".join([f"{name} {chosen}", *_settings(cfg.term[name], without={"estimator": chosen})])


def _correction(cfg: DictConfig, recipe: Recipe, sizes: Sizes) -> str:
    """How the engine's samples are weighed, where that is not as a matter of course."""
    chosen = _choice("correction")
    if chosen == "auto":
        why = f"; corrected by token_truncate cap={cfg.correction.cap:g}: it samples in bfloat16"
        return why if sizes.half_precision else ""
    if chosen == "none":
        return "; bfloat16, not corrected" if sizes.half_precision else ""
    return f"; corrected by {' '.join([chosen, *_settings(cfg.correction)])}"


def _learning_rate(recipe: Recipe) -> str:
    settings = recipe.optimizer
    schedule = "" if settings.lr_schedule == "constant" else f" {settings.lr_schedule}"
    return f"lr {settings.lr:g}{schedule}"


def _model(cfg: DictConfig, sizes: Sizes) -> str:
    source = "the base of model.pretrain" if cfg.model.path is None else cfg.model.path
    trained = "" if sizes.trained == sizes.parameters else f", {sizes.trained:,} of them trained"
    return f"{_choice('model')} ({source}), {sizes.parameters:,} parameters{trained}"


def _data(problems: Mapping[str, int]) -> str:
    sizes = [f"{size:,} {split}" for split, size in problems.items() if size]
    return f"{_choice('data')}, {' + '.join(sizes)} problems"


def _order() -> str:
    return "" if _choice("order") == "uniform" else f", in the order {_choice('order')}"


def _batch(recipe: Recipe) -> str:
    plan = recipe.batching
    sampled = f"{plan.prompts_per_iteration:,} prompts x {plan.completions_per_prompt:,} completions"
    updates = _counted(plan.updates_per_epoch * plan.epochs, "update")
    epochs, iterations = _counted(plan.epochs, "epoch"), _counted(recipe.iterations, "iteration")
    return f"{sampled}, {updates} per iteration in {epochs}, {iterations}"


def _samples(plan: EvaluationPlan, problems: Mapping[str, int]) -> str:
    drawn = {split: plan.completions_for(split, None) for split in ("validation", "test") if problems.get(split)}
    return ", ".join(f"{number:,} per {split} problem" for split, number in drawn.items())


def _choice(group: str) -> str:
    return HydraConfig.get().runtime.choices[group]


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"

"""A run from Python, without Hydra: `rsgrpo.fit` and `rsgrpo.evaluate`.

Whatever the command line builds from a configuration is an ordinary object here. The policy is trained in place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning

from rsgrpo import run_folder
from rsgrpo.callbacks.metrics import StepMetrics
from rsgrpo.data.source import tokenize
from rsgrpo.errors import UserError
from rsgrpo.evaluation.evaluate import ProblemResult
from rsgrpo.evaluation.evaluate import evaluate as sample
from rsgrpo.loggers.metrics_file import MetricsFile
from rsgrpo.measures.pass_at_k import mean_pass_at_k
from rsgrpo.metrics.base import Metric
from rsgrpo.metrics.entropy import entropy
from rsgrpo.metrics.groups import groups
from rsgrpo.metrics.rollouts import Rollouts
from rsgrpo.metrics.schedule import scheduled_value
from rsgrpo.metrics.solve_rate import CumulativeSolveRate
from rsgrpo.metrics.timing import stage_times
from rsgrpo.metrics.updates import updates
from rsgrpo.models.policy import Policy
from rsgrpo.rewards.base import Reward, close
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.seeds import derive_seed
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.lightning_trainer import lightning_trainer
from rsgrpo.training.module import RLModule
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Problem, Prompt, Sampling


def fit(
    policy: Policy,
    recipe: Recipe,
    train: Sequence[Problem],
    *,
    validation: Sequence[Problem] = (),
    engine: RolloutEngine | None = None,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[lightning.Callback] = (),
    folder: Path | str | None = None,
    chat_template: bool = False,
    **lightnings: Any,
) -> list[dict[str, float]]:
    """Train `policy` on `train` by `recipe`.

    Args:
        validation: sampled every `recipe.evaluation.every` iterations; callbacks see the results.
        engine: what samples from the policy; by default `HFEngine`.
        metrics: of your own, by name, logged beside those of every run.
        callbacks: Lightning's, `rsgrpo.callbacks.checkpoint.Checkpoint(every=20, keep=2)` for example.
        folder: where `metrics.jsonl` and what callbacks write go; by default nothing is kept.
        chat_template: whether a problem is a user's turn in the tokenizer's template.
        lightnings: for `lightning.Trainer`: accelerator, devices, precision, logger.

    Returns:
        What was logged of each iteration, by name: `train/reward_mean`, `train/entropy` and so on.

    Raises:
        UserError: for no problems, or some that do not fit the policy's context; for a folder that holds another run;
            for a part of the recipe that returns what it must not.
    """
    if not train:
        raise UserError("train holds no problem; give fit the problems of a split: Countdown().split('train')")
    if folder is not None and (Path(folder) / run_folder.METRICS).exists():
        raise UserError(f"folder={folder} holds the metrics of another run; name a new folder")
    engine = engine or HFEngine(policy=policy)
    prompts = _prompts(policy, train, recipe.sampling, chat_template)
    module = RLModule(policy, engine, recipe, train_set_size=len(prompts))
    kept = _Records()
    with TemporaryDirectory() as nowhere:
        run = Path(nowhere if folder is None else folder)
        run.mkdir(parents=True, exist_ok=True)
        loggers = [MetricsFile(run), *_several(lightnings.pop("logger", ()))]
        trainer = lightning_trainer(
            recipe,
            run,
            [StepMetrics({**built_in_metrics(), **(metrics or {})}), kept, *callbacks],
            loggers,
            **{"accelerator": "auto", "devices": 1} | lightnings,
        )
        held_out = _prompts(policy, validation, recipe.evaluation.sampling, chat_template)
        trainer.limit_val_batches = 1.0 if held_out else 0
        try:
            trainer.fit(module, datamodule=PromptData(prompts, held_out, []))
        finally:
            close(recipe.reward)
    return kept.records


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a policy solves of some problems."""

    pass_at_k: Mapping[str, float]
    """`pass@1` and so on, unbiased, means over the problems."""
    results: Sequence[ProblemResult]
    """The counts of each problem, in order."""


def evaluate(
    policy: Policy,
    reward: Reward,
    problems: Sequence[Problem],
    sampling: Sampling,
    *,
    completions: int = 64,
    k: Sequence[int] = (1, 4, 32),
    engine: RolloutEngine | None = None,
    seed: int = 0,
    chat_template: bool = False,
) -> Evaluation:
    """Sample `completions` of every problem and count the correct ones.

    The random numbers follow from `seed` and each problem's id, as those of the command line's test split do.

    Raises:
        UserError: for a k above `completions`, when there is no problem, or one does not fit the policy's context.
    """
    if not problems or completions < 1 or not all(1 <= number <= completions for number in k):
        raise UserError(
            f"evaluate needs problems and 1 <= k <= completions, and got {len(problems)} problems, k={list(k)}, "
            f"completions={completions}; draw more completions, or give smaller k"
        )
    engine = engine or HFEngine(policy=policy)
    engine.load_policy(((name, p.detach()) for name, p in policy.model.named_parameters()), version=0)
    results = sample(
        engine,
        reward,
        _prompts(policy, problems, sampling, chat_template),
        sampling,
        num_completions=completions,
        seed_of=lambda prompt: derive_seed(seed, "test", prompt.id),
    )
    counts = [(result.n, result.correct) for result in results]
    return Evaluation(pass_at_k=mean_pass_at_k(counts, k), results=results)


def built_in_metrics() -> dict[str, Metric]:
    """The metrics that every run logs, as `conf/callbacks/default.yaml` names them."""
    return {
        "reward": Rollouts(),
        "solve_rate": CumulativeSolveRate(),
        "entropy": entropy,
        "groups": groups,
        "schedule": scheduled_value,
        "updates": updates,
        "timing": stage_times,
    }


class _Records(lightning.Callback):
    """Keeps what was logged of each iteration."""

    def __init__(self) -> None:
        self.records: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.records.append(dict(pl_module.metrics))


def _prompts(policy: Policy, problems: Sequence[Problem], sampling: Sampling, chat_template: bool) -> list[Prompt]:
    prompts, _ = tokenize(
        problems,
        policy.tokenizer,
        max_prompt_tokens=None,
        max_new_tokens=sampling.max_new_tokens,
        context=policy.context,
        vocabulary=policy.vocabulary,
        chat_template=chat_template,
    )
    return prompts


def _several(loggers: Any) -> list[Any]:
    return list(loggers) if isinstance(loggers, list | tuple) else [loggers] if loggers else []

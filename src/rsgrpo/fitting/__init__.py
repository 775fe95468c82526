"""A run from Python, without Hydra: `rsgrpo.fit` and `rsgrpo.evaluate`.

Whatever the command line builds from a configuration is an ordinary object here. The policy is trained in place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers.logger import Logger

from rsgrpo import checkpoints, run_folder
from rsgrpo.callbacks.evaluation import PassAtK
from rsgrpo.callbacks.metrics import StepMetrics, try_parts
from rsgrpo.data.prompting import Example, PromptFormat
from rsgrpo.data.source import tokenize
from rsgrpo.distributed import ranks
from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.errors import UserError
from rsgrpo.evaluation.evaluate import ProblemResult
from rsgrpo.evaluation.evaluate import evaluate as sample
from rsgrpo.evaluation.sampling import failures_name_the_engine
from rsgrpo.fitting.arguments import (
    check_engine,
    check_evaluation,
    check_fit,
    check_lightnings,
    check_policy,
    check_problems,
    in_arguments,
    loggers_of,
    prompt_format,
)
from rsgrpo.fitting.resuming import (
    Resumed,
    check_same,
    check_same_base,
    check_same_policy,
    describe,
    digest_of_weights,
    find_resumed,
)
from rsgrpo.loggers.followers import follow_records
from rsgrpo.loggers.metrics_file import MetricsFile
from rsgrpo.measures.pass_at_k import mean_pass_at_k
from rsgrpo.metrics.base import Metric
from rsgrpo.metrics.entropy import entropy
from rsgrpo.metrics.groups import groups
from rsgrpo.metrics.memory import gpu_memory
from rsgrpo.metrics.rollouts import Rollouts
from rsgrpo.metrics.schedule import scheduled_value
from rsgrpo.metrics.solve_rate import CumulativeSolveRate
from rsgrpo.metrics.timing import stage_times
from rsgrpo.metrics.updates import updates
from rsgrpo.models.policy import Policy
from rsgrpo.rewards.base import Reward, close
from rsgrpo.rollouts.engine import RolloutEngine, parts_of
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.run_folder.provenance import provenance
from rsgrpo.seeds import derive_seed
from rsgrpo.training.combinations import refuse_contradictions
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.lightning_trainer import failures_name_their_callback, lightning_trainer
from rsgrpo.training.module import RLModule
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.reference import reference_of
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
    resume: Path | str | None = None,
    chat_template: bool = False,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    system: str | None = None,
    few_shot: Sequence[Example] = (),
    **lightnings: Any,
) -> list[dict[str, float]]:
    """Train `policy` on `train` by `recipe`.

    Args:
        validation: sampled every `recipe.evaluation.every` iterations; callbacks see the results.
        engine: what samples from the policy; by default `HFEngine`.
        metrics: of your own, by name, logged beside those of every run.
        callbacks: Lightning's, `rsgrpo.callbacks.checkpoint.Checkpoint(every=20, keep=2)` for example.
        folder: where `metrics.jsonl` and what callbacks write go; by default nothing is kept.
        resume: a folder with checkpoints, or one of them: the run goes on there as if it had never ended, with the same
            recipe, problems, metrics and callbacks. `iterations` may be raised, and counts from the beginning.
        chat_template: whether a problem is a user's turn in the tokenizer's template.
        chat_template_kwargs: what else the template is given: `{"enable_thinking": False}`.
        system: a system message, put first in every prompt.
        few_shot: worked examples, `rsgrpo.data.prompting.Example`, put before every problem.
        lightnings: for `lightning.Trainer`: accelerator, devices, precision, logger.

    Returns:
        What was logged of each iteration, by name: `train/reward_mean`, `train/entropy` and so on. Of a resumed run,
        of those since then.

    Raises:
        UserError: naming the argument that is not what it must be; for a folder that holds another run; for a part of
            the recipe, of the metrics or of the callbacks that raises or returns what it must not.
    """
    check_policy(policy)
    check_fit(recipe, metrics, callbacks, {"folder": folder, "resume": resume})
    check_problems("train", train, some=True)
    check_problems("validation", validation, some=False)
    check_engine(engine)
    asked = prompt_format(chat_template, chat_template_kwargs, system, few_shot)
    loggers = loggers_of(lightnings.pop("logger", None))
    check_lightnings(lightnings)
    resumed = None if resume is None else find_resumed(resume, folder, recipe)
    if resumed is None and folder is not None and any((Path(folder) / name).exists() for name in _OF_A_RUN):
        raise UserError(f"folder={folder} holds another run; name a new folder, or go on with it: resume={folder}")
    try:
        return _fit(
            policy=policy,
            recipe=recipe,
            prompts=_prompts(policy, train, recipe.sampling, asked),
            held_out=_prompts(policy, validation, recipe.evaluation.sampling, asked),
            engine=engine,
            observers=[StepMetrics({**built_in_metrics(), **(metrics or {})}, group="metrics"), *callbacks],
            loggers=loggers,
            folder=folder,
            resumed=resumed,
            settings={"accelerator": "auto", "devices": 1} | lightnings,
        )
    finally:
        close(recipe.reward)


_OF_A_RUN = (run_folder.METRICS, run_folder.RUN)


def _fit(
    *,
    policy: Policy,
    recipe: Recipe,
    prompts: Sequence[Prompt],
    held_out: Sequence[Prompt],
    engine: RolloutEngine | None,
    observers: Sequence[lightning.Callback],
    loggers: Sequence[Logger],
    folder: Path | str | None,
    resumed: Resumed | None,
    settings: Mapping[str, Any],
) -> list[dict[str, float]]:
    recipe.schedule.check(recipe.objective, recipe.batching.completions_per_prompt, recipe.loss)
    refuse_contradictions(recipe)
    try_parts(recipe, observers, prompts)
    described = describe(recipe, prompts, held_out)
    if resumed is not None and recipe.needs_reference:
        check_same_base(resumed, policy)
    reference = reference_of(policy) if recipe.needs_reference else None
    module = RLModule(
        policy, engine or HFEngine(policy=policy), recipe, train_set_size=len(prompts), reference=reference
    )
    if resumed is not None:
        check_same(resumed, described)
        check_same_policy(resumed, module)
    data, kept = PromptData(prompts, held_out, []), _Records()
    with TemporaryDirectory() as nowhere:
        run = Path(nowhere if folder is None else folder) if resumed is None else resumed.run
        try:
            run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"folder={folder} cannot be made ({error.strerror}); name another one") from error
        try:
            trainer = lightning_trainer(
                recipe, run, [observers[0], kept, *observers[1:]], [MetricsFile(run), *loggers], **settings
            )
        except (ValueError, TypeError, MisconfigurationException) as error:
            raise UserError(f"lightning.Trainer refuses its arguments: {' '.join(str(error).split())}") from error
        if ranks.is_first():
            if resumed is None:
                begun = {} if folder is None else provenance(run) | {"base": digest_of_weights(policy)}
                run_folder.write_json(run / run_folder.RUN, described | begun)
            else:
                checkpoints.rewind(run, resumed.done)
                follow_records(run, trainer.loggers)
        trainer.limit_val_batches = 1.0 if held_out else 0
        state = None if resumed is None else resumed.state
        with failures_name_their_callback(trainer):
            if resumed is not None and _owes_validation(resumed, recipe, held_out, observers):
                trainer.validate(module, datamodule=data, ckpt_path=state, verbose=False, weights_only=True)
            trainer.fit(module, datamodule=data, ckpt_path=state, weights_only=True)
    return kept.records


def _owes_validation(
    resumed: Resumed, recipe: Recipe, held_out: Sequence[Prompt], observers: Sequence[lightning.Callback]
) -> bool:
    """Whether the run ended between a checkpoint and the validation after it, which only what is logged can tell."""
    logs = any(isinstance(observer, PassAtK) for observer in observers)
    due = held_out and resumed.done % recipe.evaluation.every == 0
    return bool(logs and due) and not checkpoints.evaluated(resumed.run, "validation", resumed.done)


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
    chat_template_kwargs: Mapping[str, Any] | None = None,
    system: str | None = None,
    few_shot: Sequence[Example] = (),
) -> Evaluation:
    """Sample `completions` of every problem and count the correct ones.

    The random numbers follow from `seed` and each problem's id, as those of the command line's test split do.

    Raises:
        UserError: naming an argument that is wrong: a k above `completions`, no problem, one beyond the context.
    """
    check_policy(policy)
    check_problems("problems", problems, some=True)
    check_evaluation(reward, sampling, problems, completions, k, seed)
    check_engine(engine)
    asked = prompt_format(chat_template, chat_template_kwargs, system, few_shot)
    engine = engine or HFEngine(policy=policy)
    with failures_name_the_engine(engine, "load_policy"):
        engine.load_policy(full_tensors(policy.model, parts_of(engine)), version=0)
    results = sample(
        engine,
        reward,
        _prompts(policy, problems, sampling, asked),
        sampling,
        num_completions=completions,
        seed_of=lambda place: derive_seed(seed, "test", problems[place].id),
    )
    return Evaluation(pass_at_k=mean_pass_at_k([(result.n, result.correct) for result in results], k), results=results)


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
        "memory": gpu_memory,
    }


class _Records(lightning.Callback):
    """Keeps what was logged of each iteration."""

    def __init__(self) -> None:
        self.records: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.records.append(dict(pl_module.metrics))


def _prompts(policy: Policy, problems: Sequence[Problem], sampling: Sampling, asked: PromptFormat) -> list[Prompt]:
    try:
        prompts, _ = tokenize(
            problems,
            policy.tokenizer,
            max_prompt_tokens=None,
            max_new_tokens=sampling.max_new_tokens,
            context=policy.context,
            vocabulary=policy.vocabulary,
            prompt_format=asked,
        )
    except UserError as error:
        raise UserError(in_arguments(str(error))) from error
    return prompts

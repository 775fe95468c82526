"""From a configuration to what Lightning runs: policy, engine, module, data and trainer."""

import logging
import shlex
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.callbacks.metrics import try_parts
from rsgrpo.command_line.arguments import words_of_job
from rsgrpo.command_line.same_run import config_hash
from rsgrpo.composition.alphabet import check_alphabet
from rsgrpo.composition.asking import build_format, build_source
from rsgrpo.composition.build import build, check_partial
from rsgrpo.composition.machine import set_threads
from rsgrpo.composition.members import check_members, check_methods
from rsgrpo.composition.own_code import keep_own_code
from rsgrpo.composition.plan import decide_memory, offloads
from rsgrpo.composition.policy import check_policy, load_policy
from rsgrpo.composition.prompts import describe, load_prompts, longest
from rsgrpo.composition.trainer import build_sharding, build_trainer, is_sharded
from rsgrpo.data.prompting import PromptFormat
from rsgrpo.data.source import Split
from rsgrpo.distributed.sharding import Sharding
from rsgrpo.errors import field_errors_name_their_key
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.run_folder.provenance import provenance
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.module import RLModule
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.reference import reference_of


class Assembled(NamedTuple):
    """What a run consists of."""

    module: RLModule
    data: PromptData
    described: dict[str, Any]
    """What it is trained and measured on."""
    trainer: lightning.Trainer


class Parts(NamedTuple):
    """What a run needs beside its recipe, before weights and data are read."""

    source: Any
    sharding: Sharding
    make_engine: Callable[..., RolloutEngine]
    prompt_format: PromptFormat


def assemble(
    cfg: DictConfig, recipe: Recipe, run: Path, *, splits: tuple[Split, ...], started: Assembled | None = None
) -> Assembled:
    """Build everything, quickest first: a mistake is reported before weights and data are read.

    `started` lends its policy and its engine, which runs already.

    Raises:
        UserError: for a mistake in the configuration, its data or its machine.
    """
    source, sharding, make_engine, prompt_format = build_parts(cfg)
    _quiet_lightning()
    trainer = build_trainer(cfg, run, recipe)
    set_threads(cfg)
    check_alphabet(cfg, source, splits, prompt_format)
    decided = decide_memory(cfg, recipe) if "train" in splits else None
    policy = load_policy(cfg, on_meta=is_sharded(cfg)) if started is None else started.module.policy
    data = load_prompts(source, policy, recipe, prompt_format=prompt_format, splits=splits)
    if data.train:
        try_parts(recipe, trainer.callbacks, data.train)  # pyright: ignore[reportAttributeAccessIssue]
    engine = _build_engine(cfg, make_engine, policy) if started is None else started.module.engine
    if isinstance(engine, VLLMEngine) and (data.train or data.validation or data.test):
        engine.expect(longest(source, data, recipe))
        if engine.sleep == "auto" and decided is not None:
            engine.sleep = decided.sleep is not False
    reference = reference_of(policy) if recipe.needs_reference and data.train else None
    module = RLModule(
        policy,
        engine,
        recipe,
        train_set_size=len(data.train),
        sharding=sharding,
        reference=reference,
        offload_optimizer=offloads(cfg, decided),
    )
    trainer.limit_val_batches = 1.0 if data.validation or (data.test and recipe.evaluation.test_every) else 0
    return Assembled(module, data, describe(source, data), trainer)


def build_parts(cfg: DictConfig) -> Parts:
    """What takes no time to build, checked.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    parts = Parts(build_source(cfg), build_sharding(cfg), build(cfg, "rollout"), build_format(cfg))
    check_members(cfg, "data", parts.source)
    check_partial(parts.make_engine, "rollout")
    check_methods(cfg, "rollout", parts.make_engine)
    check_policy(cfg)
    return parts


def _build_engine(cfg: DictConfig, make: Callable[..., RolloutEngine], policy: Policy) -> RolloutEngine:
    with field_errors_name_their_key("rollout"):
        engine = make(policy=policy)
    check_members(cfg, "rollout", engine)
    return engine


def describe_run(run: Path, cfg: DictConfig, data: dict[str, Any], *, base: str | None, resumes: bool) -> None:
    """Write down what was asked for, with which code, machine, data and base model, and give a new run its id.

    A resumed run keeps what was written of the processes before, and the hash of the base that it began with.

    Raises:
        UserError: when the disk refuses.
    """
    before = run_folder.read_json(run / run_folder.RUN) if resumes else {}
    unfinished = run / f"{run_folder.CONFIG}{run_folder.UNFINISHED}"
    OmegaConf.save(cfg, unfinished, resolve=True)
    unfinished.replace(run / run_folder.CONFIG)  # another rank may be reading it
    OmegaConf.save(HydraConfig.get().overrides.task, run / run_folder.OVERRIDES)
    process = provenance(run)
    earlier = [*before.get("earlier", []), {name: before[name] for name in process if name in before}]
    base = before.get("base") if resumes and cfg.model.path is None else base
    described = {
        "format": run_folder.FORMAT,
        "id": before.get("id") or uuid.uuid4().hex,
        "config_hash": config_hash(cfg),
        **process,
        "rerun": _rerun(),
        "own_code": keep_own_code(run, cfg),
        "data": data,
        **({} if base is None else {"base": base}),
        **({"earlier": earlier} if resumes else {}),
    }
    run_folder.write_json(run / run_folder.RUN, described)


def _rerun() -> str:
    """The words of this run alone, as a shell takes them: a job of a sweep has words of its own."""
    return shlex.join(["python", "run.py", *(word for word in words_of_job() if not word.startswith("ckpt="))])


def _quiet_lightning() -> None:
    """Silence Lightning's warnings about choices that are deliberate here."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*Trying to infer the `batch_size`.*",
        ".*callbacks used to create the checkpoint need to be provided.*",  # a resumed run may have others
        ".*GPU available but not used.*",
        ".*sync_dist=True.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
    ):
        warnings.filterwarnings("ignore", message)

"""`python run.py task=evaluate model.path=RUN`: what a policy solves, with no training: many samples, resumable."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.summary import print_evaluation
from rsgrpo.callbacks.samples import SampleRecords
from rsgrpo.command_line import program
from rsgrpo.command_line.arguments import words_of_job
from rsgrpo.composition.assemble import Assembled, assemble, describe_run
from rsgrpo.composition.build import build_as
from rsgrpo.composition.evaluation import check_k, check_not_fewer, check_same_evaluation, jobs_of, policy_named
from rsgrpo.composition.machine import check_run_folder, claim_run_folder
from rsgrpo.composition.policy import digest_of_base
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.composition.settings import EvaluateSettings
from rsgrpo.composition.summary import say_what_runs
from rsgrpo.composition.trainer import is_sharded
from rsgrpo.distributed import ranks
from rsgrpo.distributed.strategy import leave_others
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError
from rsgrpo.evaluation.batches import SplitBatch, blocks
from rsgrpo.evaluation.samples import counted
from rsgrpo.rewards.base import close
from rsgrpo.training.datamodule import BlocksOfData
from rsgrpo.types import Prompt

SPLITS = ("validation", "test")

DERIVED = (run_folder.VALIDATION, run_folder.TEST, run_folder.METRICS)
"""What is made from the samples, and anew by an evaluation that goes on."""


def evaluate(cfg: DictConfig) -> None:
    """Sample the splits of `task.splits`, and leave samples, counts and a table of pass@k.

    With several policies (`model.path=[A,B]`) or temperatures (`eval.temperature=[.6,1]`) each has a folder of its own
    in the run folder. In a folder that holds a part of the same evaluation, it goes on after what is there.

    Raises:
        UserError: for a mistake in the configuration, its data or its machine.
    """
    _check(cfg)
    run = Path(HydraConfig.get().runtime.output_dir)
    jobs = jobs_of(cfg)
    for _, of_policy in groupby(jobs, key=lambda job: job[1].model.path):
        with ExitStack() as ends:
            started = None
            for name, job in of_policy:
                folder = run / name if name else run
                if job.logger.get("save_dir") == str(run):
                    OmegaConf.update(job, "logger.save_dir", str(folder))
                if len(jobs) > 1:
                    say(f"evaluating {name}")
                if is_sharded(job):  # its ranks end with its trainer
                    with ExitStack() as own:
                        _evaluate(job, folder, None, own)
                else:
                    started = _evaluate(job, folder, started, ends)
    if len(jobs) > 1 and ranks.is_first():
        say(f"all in {run}; put them side by side: {program.typed()} task=compare runs={run}, or task=report")


def _evaluate(cfg: DictConfig, run: Path, started: Assembled | None, ends: ExitStack) -> Assembled:
    """One policy at one temperature. `started` lends policy and engine; what is started here ends with `ends`."""
    policy, named = policy_named(cfg.model.path)
    OmegaConf.update(cfg, "model.path", policy)
    recipe = build_recipe(cfg)
    check_k(recipe.evaluation, cfg.task.splits)
    try:
        goes_on = (run / run_folder.RUN).exists()
        if ranks.is_first():
            check_run_folder(run, resumes=goes_on)
        assembled = assemble(cfg, recipe, run, splits=tuple(cfg.task.splits), started=started)
        if started is None:
            ends.callback(leave_others, assembled.trainer.strategy.launcher)
            ends.callback(assembled.module.engine.close)
        empty = [split for split in cfg.task.splits if not getattr(assembled.data, split)]
        if empty:
            raise UserError(f"task.splits: the {empty[0]} split is empty; name another, or set data.*")
        base = digest_of_base(cfg)
        if goes_on:
            check_same_evaluation(run, cfg, assembled.described, base)
            prompts = {split: getattr(assembled.data, split) for split in cfg.task.splits}
            check_not_fewer(run, recipe.evaluation, prompts)
        if ranks.is_first():
            if goes_on:
                for file in DERIVED:
                    (run / file).unlink(missing_ok=True)
            else:
                claim_run_folder(run)
            describe_run(run, cfg, assembled.described, base=base, resumes=goes_on)
            say_what_runs(cfg, recipe, assembled, run, trains=False)
            say(f"evaluating {named}")
        _sample(cfg, assembled, run)
    finally:
        close(recipe.reward)
    if ranks.is_first():
        print_evaluation(run, Console())
    return assembled


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The blocks that are left, those that are done as the first of them."""

    batches: Sequence[SplitBatch]
    total: int
    drawn: int


def _sample(cfg: DictConfig, assembled: Assembled, run: Path) -> None:
    """Sample what is missing.

    Raises:
        SystemExit: 130 after Ctrl-C, saying how to go on.
    """
    module, data, _, trainer = assembled
    files = {split: run / run_folder.SAMPLES.format(split=split) for split in cfg.task.splits}
    if ranks.is_first():
        for file in files.values():
            run_folder.cut_to_whole_blocks(file)
    ranks.barrier()
    plan = _plan(cfg, assembled, files)
    keep = SampleRecords(
        files, module.recipe.reward, keep=module.recipe.evaluation.keep, total=plan.total, drawn=plan.drawn
    )
    callbacks: list = trainer.callbacks  # type: ignore[attr-defined]
    callbacks.append(keep)
    if plan.drawn:
        say(f"{plan.drawn:,} of {plan.total:,} completions are there already")
    try:
        trainer.test(module, datamodule=BlocksOfData(data, plan.batches), verbose=False)
    except (KeyboardInterrupt, SystemExit):
        # The folder of the whole task: one of several evaluations lies below it.
        words = shlex.join([*words_of_job(), f"hydra.run.dir={HydraConfig.get().runtime.output_dir}"])
        say(f"stopped: {keep.drawn:,} of {plan.total:,} completions are kept; go on with: {program.typed()} {words}")
        sys.exit(130)


def _plan(cfg: DictConfig, assembled: Assembled, files: dict[str, Path]) -> _Plan:
    module, data = assembled.module, assembled.data
    settings = build_as(cfg, "task", EvaluateSettings)
    batches, total, drawn = [], 0, 0
    for split, file in files.items():
        prompts: Sequence[Prompt] = getattr(data, split)
        totals = [module.recipe.evaluation.completions_for(split, p.problem.facts.get("dataset")) for p in prompts]
        known = counted(run_folder.read_chunks(file), prompts)
        done = {result.problem_id: result.n for result in known}
        if known:
            batches.append(SplitBatch(split, (), (), (), known))
        batches += blocks(split, prompts, totals, done, block=settings.block)
        total += sum(max(number, done.get(p.id, 0)) for p, number in zip(prompts, totals, strict=True))
        drawn += sum(done.values())
    return _Plan(batches=batches, total=total, drawn=drawn)


def _check(cfg: DictConfig) -> None:
    """Refuse what would evaluate nothing, or write down nothing."""
    if cfg.ckpt is not None:
        raise UserError(
            f"ckpt={cfg.ckpt} is for training; evaluate the policy that a run has exported: try model.path={cfg.ckpt}"
        )
    settings = build_as(cfg, "task", EvaluateSettings)
    if not settings.splits or not set(settings.splits) <= set(SPLITS):
        raise UserError(f"task.splits={cfg.task.splits} must list some of {', '.join(SPLITS)}; try task.splits=[test]")
    if not cfg.callbacks.get("evaluation"):
        raise UserError("callbacks.evaluation is off, and nothing else writes results; leave callbacks as it is")

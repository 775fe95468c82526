"""`python run.py`: train a policy by RL, from configuration to run folder."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import lightning
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from rsgrpo import checkpoints, run_folder
from rsgrpo.analysis.summary import dear_tests, print_summary
from rsgrpo.checkpoints.unpickling import check_weights_only, load_weights_only
from rsgrpo.command_line import program
from rsgrpo.command_line.arguments import words_of_job
from rsgrpo.command_line.own_names import in_keys
from rsgrpo.command_line.resume import AUTO
from rsgrpo.command_line.same_run import check_same_base, check_same_data, check_same_run
from rsgrpo.command_line.sweep import is_sweep
from rsgrpo.command_line.trust import words_to_repeat
from rsgrpo.composition.assemble import Assembled, assemble, describe_run
from rsgrpo.composition.disk import check_disk, disk_use
from rsgrpo.composition.evaluation import check_during_training, check_k
from rsgrpo.composition.known_base import file_of_base, read_base, write_base
from rsgrpo.composition.machine import check_run_folder, claim_run_folder
from rsgrpo.composition.policy import digest_of_base
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.composition.summary import say_what_runs
from rsgrpo.composition.trainer import is_sharded
from rsgrpo.distributed import ranks
from rsgrpo.distributed.strategy import leave_others
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError
from rsgrpo.loggers.followers import follow_records
from rsgrpo.rewards.base import close
from rsgrpo.run_folder.spent import tokens
from rsgrpo.training.clock import StageClock, cpu_seconds
from rsgrpo.training.combinations import remarks
from rsgrpo.training.datamodule import MeasuredData, PromptData
from rsgrpo.training.export import save_policy
from rsgrpo.training.lightning_trainer import failures_name_their_callback
from rsgrpo.training.module import RLModule
from rsgrpo.training.recipe import Recipe


def train(cfg: DictConfig) -> None:
    """Check everything, evaluate the base, train, evaluate again, and leave a run folder behind.

    Raises:
        UserError: for a mistake in the configuration, its data or its machine.
        SystemExit: 128 + the number of the signal, on rank 0, when SIGTERM or Ctrl-C ended it.
    """
    recipe = build_recipe(cfg)
    check_during_training(recipe.evaluation)
    try:
        _train(cfg, recipe)
    finally:
        close(recipe.reward)


def _train(cfg: DictConfig, recipe: Recipe) -> None:
    clock, cpu = StageClock(), cpu_seconds()
    with clock.stage("setup"):
        run = Path(HydraConfig.get().runtime.output_dir)
        checkpoint = _checkpoint_to_resume(cfg)
        module, data, _, trainer = _set_up(cfg, recipe, run, checkpoint)
    load_weights_only()
    begun = 0 if checkpoint is None else run_folder.iteration_of(checkpoint)
    try:
        with failures_name_their_callback(trainer):
            if checkpoint is None:
                with clock.stage("base_evaluation"):
                    if recipe.evaluation.base:
                        _evaluate_base(cfg, trainer, module, data, run)
            else:
                _make_up_for_evaluations(trainer, module, data, run, checkpoint)
            with clock.stage("training"):
                trainer.fit(
                    module, datamodule=data, ckpt_path=None if checkpoint is None else run_folder.state_of(checkpoint)
                )
            if module.stopped_by is not None:
                _leave(run, module)
            with clock.stage("final_evaluation"):
                if not checkpoints.evaluated(run, "test", module.iteration):
                    _evaluate(trainer, module, data, splits=("test",))
        with clock.stage("export"):
            save_policy(module.policy, run / run_folder.POLICY)
    except SystemExit:  # this is how Lightning leaves after a second Ctrl-C, or one that no handler takes
        if not trainer.interrupted:
            raise
        module.stopped_by = signal.SIGINT.name
        _leave(run, module)
    except Exception as error:
        if saved := run_folder.checkpoints(run):
            words = f"the run failed; {_go_on(run, saved)}"
            say(words) if isinstance(error, UserError) else error.add_note(words)
        raise
    finally:
        module.close()
        leave_others(trainer.strategy.launcher)
    if ranks.is_first():
        seconds = clock.read()
        seconds["total"] = seconds.pop("step")
        done = {"iteration": module.iteration, "resumed_from": begun, "seconds": seconds}
        spent = {"cpu_seconds": max(0.0, cpu_seconds() - cpu), "tokens": tokens(run)}
        run_folder.write_json(run / run_folder.DONE, done | spent)
        print_summary(run, Console(), program=None if is_sweep() else program.typed())
        if dear := dear_tests(run):
            share, every, after = dear
            say(
                f"tests during training took {share:.0%} of this run; eval.test_every={every} would make it {after:.0%}"
            )


def _set_up(cfg: DictConfig, recipe: Recipe, run: Path, checkpoint: Path | None) -> Assembled:
    """Everything that a run consists of, checked, and its folder begun or taken up."""
    if ranks.is_first():
        if cfg.ckpt == AUTO:
            checkpoints.clear(run)
        check_run_folder(run, resumes=checkpoint is not None)
    for remark in remarks(recipe):
        say(in_keys(UserError(remark)))
    assembled = assemble(cfg, recipe, run, splits=("train", "validation", "test"))
    module, data, described, trainer = assembled
    if sampled := [split for split in ("validation", "test") if getattr(data, split)]:
        check_k(recipe.evaluation, sampled)
    if checkpoint is not None:
        check_same_data(run, described)
    if ranks.is_first():
        observers = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        disk = check_disk(disk_use(module.policy, recipe, observers), run)
        _begin_run_folder(run, cfg, checkpoint, described, digest_of_base(cfg))
        say_what_runs(cfg, recipe, assembled, run)
        say(f"disk        {disk}")
        if checkpoint is not None:
            follow_records(run, trainer.loggers)
    return assembled


def _make_up_for_evaluations(
    trainer: lightning.Trainer, module: RLModule, data: PromptData, run: Path, checkpoint: Path
) -> None:
    """The checkpoint of an iteration comes before its evaluations: a run that ended in between still owes those."""
    done, plan = run_folder.iteration_of(checkpoint), module.recipe.evaluation
    loops: dict[str, Any] = {"validation": trainer.validate, "test": trainer.test}
    for split, sample in loops.items():
        owed = getattr(data, split) and plan.is_due(split, done, module.recipe.iterations)
        if owed and not checkpoints.evaluated(run, split, done):
            sample(module, datamodule=data, ckpt_path=run_folder.state_of(checkpoint), verbose=False)


def _leave(run: Path, module: RLModule) -> NoReturn:
    """End a run that a signal has stopped, and say how to go on.

    Raises:
        SystemExit: 128 + the number of the signal on rank 0, which speaks for the run, and 0 on the others.
    """
    saved = run_folder.checkpoints(run)
    go_on = _go_on(run, saved) if saved else "no checkpoint was saved (callbacks.checkpoint), so start it again"
    say(f"stopped by {module.stopped_by} after iteration {module.iteration}; {go_on}")
    sys.exit(128 + signal.Signals[str(module.stopped_by)] if ranks.is_first() else 0)


def _go_on(run: Path, saved: Sequence[Path]) -> str:
    words = " ".join([f"ckpt={run}", *words_to_repeat(words_of_job())])
    return f"go on from iteration {run_folder.iteration_of(saved[-1])} with: {program.typed()} {words}"


def _evaluate_base(cfg: DictConfig, trainer: lightning.Trainer, module: RLModule, data: PromptData, run: Path) -> None:
    """Sample the policy before training, unless a run before this one has drawn the very same samples."""
    splits = [split for split in ("validation", "test") if getattr(data, split)]
    file = file_of_base(run, cfg) if ranks.is_first() else None
    known = None if file is None else read_base(file, splits)
    if known is not None:
        say("test: base policy, as another run has measured it (same samples; eval.cache_dir=null draws them again)")
    _evaluate(trainer, module, MeasuredData(data, known), splits=splits)
    if file is not None and known is None:
        write_base(file, run, splits)


def _evaluate(trainer: lightning.Trainer, module: RLModule, data: PromptData, *, splits: Sequence[str]) -> None:
    """Sample those splits that exist."""
    loops: dict[str, Any] = {"validation": trainer.validate, "test": trainer.test}
    for split in splits:
        if getattr(data, split):
            loops[split](module, datamodule=data, verbose=False)


def _checkpoint_to_resume(cfg: DictConfig) -> Path | None:
    if cfg.ckpt in (None, AUTO):  # what `auto` found has taken its place by now
        return None
    run, checkpoint = checkpoints.find_checkpoint(cfg.ckpt, say=say, contents=ranks.is_first())
    if run_folder.is_sharded(checkpoint) and not is_sharded(cfg):
        raise UserError(
            f"ckpt={cfg.ckpt} was written by trainer=fsdp2, whose shards this trainer does not read; resume it with "
            "trainer=fsdp2 trainer.devices=1"
        )
    if ranks.is_first():
        check_weights_only(run_folder.state_of(checkpoint))
    check_same_run(run, cfg)
    done = run_folder.iteration_of(checkpoint)
    if done > cfg.iterations or (done == cfg.iterations and (run / run_folder.DONE).exists()):
        raise UserError(f"ckpt={cfg.ckpt} has finished {done} iterations already; extend it with iterations={2 * done}")
    return checkpoint


def _begin_run_folder(
    run: Path, cfg: DictConfig, checkpoint: Path | None, data: dict[str, Any], base: str | None
) -> None:
    """A resumed run first forgets what came after its checkpoint."""
    if checkpoint is None:
        claim_run_folder(run)
    else:
        check_same_base(run, cfg.model.path, base)
        done = run_folder.iteration_of(checkpoint)
        say(f"resuming after iteration {done}; later records are written anew")
        checkpoints.rewind(run, done)
    describe_run(run, cfg, data, base=base, resumes=checkpoint is not None)

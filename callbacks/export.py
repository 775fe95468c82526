"""The policy as a Hugging Face folder, on a schedule of its own."""

import shutil
from pathlib import Path
from typing import Any

import lightning

from rsgrpo import run_folder
from rsgrpo.distributed import ranks
from rsgrpo.fields import check_at_least_one
from rsgrpo.training.export import save_policy
from rsgrpo.training.module import RLModule


class Export(lightning.Callback):
    """Every `every` iterations writes `policies/iteration_NNNNNN`, which `AutoModelForCausalLM.from_pretrained` loads.

    None are removed: these are for measuring, checkpoints are for resuming. The policy of the end is in `policy/`, and
    with `every=null` there are no others.
    """

    def __init__(self, every: int | None) -> None:
        if every is not None:
            check_at_least_one(every=every)
        self.every = every

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        iteration = outputs["report"].iteration
        if self.every is None or iteration % self.every:
            return
        folder = run_folder.exported_policy(Path(trainer.default_root_dir), iteration)
        unfinished = folder.with_name(folder.name + run_folder.UNFINISHED)
        if ranks.is_first():
            shutil.rmtree(unfinished, ignore_errors=True)
        ranks.barrier()
        save_policy(pl_module.policy, unfinished)
        if ranks.is_first():
            if folder.exists():  # of a run that was resumed before it
                shutil.rmtree(folder)
            unfinished.rename(folder)

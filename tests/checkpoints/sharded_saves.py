"""`python tests/checkpoints/sharded_saves.py RUN WHAT`: two processes train a linear map in shards and save it.

WHAT says what goes wrong at the second of three saves: `nothing`; `shard`, no room for the weights of rank 1;
`metadata`, no room for what only rank 0 writes; or `bug`, an exception of rank 1 that no disk raises. Each rank writes
what it was told to RUN/rank_N.json.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader

from rsgrpo.checkpoints import saving
from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError

WIDTH = 256  # a shard: 128 x 257 float32 numbers of weights, twice as many of the optimiser: 400 kB


STEPS = 3


class Linear(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.map = torch.nn.Linear(WIDTH, WIDTH)
        self.blob = ""

    def configure_model(self) -> None:
        assert self.device_mesh is not None
        fully_shard(self.map, mesh=self.device_mesh["data_parallel"])

    def training_step(self, rows: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.map(rows).square().sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["blob"] = self.blob
        if self.blob == "bug" and ranks.index() == 1:
            raise ZeroDivisionError("a bug of rank 1")


class Saves(lightning.Callback):
    def __init__(self, run: Path, what: str) -> None:
        self.run, self.what = run, what

    def on_train_batch_end(self, trainer: Any, pl_module: Linear, outputs: Any, batch: Any, batch_idx: int) -> None:
        iteration, said = batch_idx + 1, None
        limit = resource.RLIM_INFINITY
        if iteration == 2 and self.what == "shard" and ranks.index() == 1:
            limit = 100_000
        if iteration == 2 and self.what == "metadata":
            pl_module.blob = "x" * 2_000_000
            limit = 1_000_000
        if iteration == 2 and self.what == "bug":
            pl_module.blob = "bug"
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            saving.save(trainer, self.run, iteration, keep=2)
        except UserError as error:
            said = str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if iteration == 2:
            with (self.run / f"rank_{ranks.index()}.json").open("w") as out:
                json.dump({"said": said, "found": sorted(os.listdir(self.run / "checkpoints"))}, out)
        pl_module.blob = ""


def train() -> int:
    run, what = Path(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1, process_group_backend="gloo"),
        max_steps=STEPS,
        logger=False,
        callbacks=[Saves(run, what)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=run,
    ).fit(Linear(), DataLoader(cast(Any, torch.randn(STEPS, WIDTH))))
    ranks.leave()
    return 0


if __name__ == "__main__":
    ranks.exit_with(train)

"""Prompts for Lightning's loops: an endless train stream and one batch per evaluation split."""

from collections.abc import Sequence
from typing import Any, cast

import lightning
import torch
from torch.utils.data import DataLoader

from rsgrpo.data.order import PromptOrder
from rsgrpo.data.source import digest
from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError
from rsgrpo.training.module import RLModule
from rsgrpo.types import Prompt


class PromptData(lightning.LightningDataModule):
    """The three splits. The train stream starts at the module's own iteration: that is all there is to resuming it."""

    def __init__(self, train: Sequence[Prompt], validation: Sequence[Prompt], test: Sequence[Prompt]) -> None:
        super().__init__()
        self.train, self.validation, self.test = train, validation, test

    def setup(self, stage: str) -> None:
        """Check that all ranks have read the same problems.

        Raises:
            UserError: when a rank has read other problems, from another copy of the data for example.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        read = ranks.gather({name: digest(prompts) for name, prompts in splits.items()})
        for name in splits:
            odd = [rank for rank, digests in enumerate(read) if digests[name] != read[0][name]]
            if odd:
                raise UserError(
                    f"data: rank {odd[0]} has read another {name} split than rank 0; give all ranks the same files, "
                    "or one cache_dir that all nodes see",
                    cache_dir="data",
                )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Prompts are token ids in plain Python: engines and packing move what they need."""
        return batch

    def train_dataloader(self) -> PromptOrder:
        trainer = cast(lightning.Trainer, self.trainer)
        module = cast(RLModule, trainer.lightning_module)
        return PromptOrder(
            self.train,
            prompts_per_iteration=module.recipe.batching.prompts_per_iteration,
            seed=module.recipe.seed,
            start=module.iteration,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
        )

    def val_dataloader(self) -> DataLoader[list[Prompt]] | list[Any]:
        return _one_batch(self.validation)

    def test_dataloader(self) -> DataLoader[list[Prompt]] | list[Any]:
        return _one_batch(self.test)


def _one_batch(prompts: Sequence[Prompt]) -> DataLoader[list[Prompt]] | list[Any]:
    """A whole split at once: the engine knows best how to cut it. Lightning skips an empty list."""
    return DataLoader(cast(Any, [list(prompts)]), batch_size=None, collate_fn=list) if prompts else []

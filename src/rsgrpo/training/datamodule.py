"""Prompts for Lightning's loops: an endless train stream and evaluation splits, each one batch."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from rsgrpo.data.source import digest
from rsgrpo.data.stream import PromptStream
from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError
from rsgrpo.evaluation.batches import SplitBatch
from rsgrpo.evaluation.evaluate import ProblemResult
from rsgrpo.training.module import RLModule
from rsgrpo.types import Prompt


class PromptData(lightning.LightningDataModule):
    """The three splits. The train stream goes on from the prompts that the module has drawn."""

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

    def train_dataloader(self) -> PromptStream:
        trainer = cast(lightning.Trainer, self.trainer)
        module = cast(RLModule, trainer.lightning_module)
        return PromptStream(
            self.train,
            module.recipe.order,
            prompts_per_iteration=module.recipe.batching.prompts_per_iteration,
            seed=module.recipe.seed,
            drawn=module.drawn,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
        )

    def val_dataloader(self) -> DataLoader[SplitBatch] | list[Any]:
        """During training the test split as well: the module knows which of the two is due."""
        trainer = cast(lightning.Trainer, self.trainer)
        training = trainer.state.fn == TrainerFn.FITTING
        return _batches(validation=self.validation, test=self.test if training else ())

    def test_dataloader(self) -> DataLoader[SplitBatch] | list[Any]:
        return _batches(test=self.test)


class BlocksOfData(PromptData):
    """Splits in blocks, for `trainer.test`."""

    def __init__(self, data: PromptData, blocks: Sequence[SplitBatch]) -> None:
        super().__init__(data.train, data.validation, data.test)
        self.blocks = blocks

    def test_dataloader(self) -> DataLoader[SplitBatch] | list[Any]:
        return _loader(self.blocks)


class MeasuredData(PromptData):
    """Splits whose results rank 0 may know already, for `trainer.validate` and `trainer.test`; others are sampled."""

    def __init__(self, data: PromptData, known: Mapping[str, Sequence[ProblemResult]] | None) -> None:
        super().__init__(data.train, data.validation, data.test)
        self.known = known

    def val_dataloader(self) -> DataLoader[SplitBatch] | list[Any]:
        return self._of("validation", self.validation)

    def test_dataloader(self) -> DataLoader[SplitBatch] | list[Any]:
        return self._of("test", self.test)

    def _of(self, split: str, prompts: Sequence[Prompt]) -> DataLoader[SplitBatch] | list[Any]:
        known = ranks.gather(self.known)[0]  # here the ranks have met
        return _batches(**{split: prompts}) if known is None else _loader([SplitBatch(split, (), (), (), known[split])])


def _batches(**splits: Sequence[Prompt]) -> DataLoader[SplitBatch] | list[Any]:
    """Each split at once: the engine knows best how to cut it."""
    return _loader([SplitBatch(split, list(prompts)) for split, prompts in splits.items() if prompts])


def _loader(batches: Sequence[SplitBatch]) -> DataLoader[SplitBatch] | list[Any]:
    """Lightning skips an empty list."""
    return DataLoader(cast(Any, batches), batch_size=None, collate_fn=_as_it_is) if batches else []


def _as_it_is(batch: Any) -> Any:
    return batch

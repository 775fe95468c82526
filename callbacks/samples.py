"""Every sample of an evaluation, written down block by block."""

import time
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rsgrpo import run_folder
from rsgrpo.distributed import ranks
from rsgrpo.evaluation.batches import SplitBatch
from rsgrpo.evaluation.evaluate import Keep
from rsgrpo.evaluation.samples import chunk_record
from rsgrpo.rewards.base import Reward
from rsgrpo.training.module import RLModule
from rsgrpo.types import ScoredGroup

LINE_EVERY_S = 30.0
"""Seconds between progress lines where there is no terminal."""


class SampleRecords(lightning.Callback):
    """Appends each block of an evaluation to its file of samples, and shows how far it is.

    Args:
        files: by split.
        keep: which completions are kept as text.
        total: completions to draw in all, and how many of them were `drawn` before.
    """

    def __init__(self, files: dict[str, Path], reward: Reward, *, keep: Keep, total: int, drawn: int) -> None:
        self.files, self.reward = files, reward
        self.keep: Keep = keep
        self.total, self.drawn, self.before = total, drawn, drawn
        self.mine: list[tuple[int, ScoredGroup]] = []
        console = Console(stderr=True, quiet=not ranks.is_first())
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.console = console

    def on_test_start(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        self.begun = self.said = time.perf_counter()
        self.task = self.bar.add_task(self._line(), total=self.total, completed=self.drawn)
        self.bar.start()

    def on_evaluated(self, split: str, iteration: int, place: int, scored: ScoredGroup) -> None:
        self.mine.append((place, scored))

    def on_test_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: SplitBatch, batch_idx: int, *_: Any
    ) -> None:
        if not batch.prompts:
            return
        starts = batch.starts or [0] * len(batch.prompts)
        mine, self.mine = self.mine, []
        records = [(place, chunk_record(scored, starts[place], self.reward, self.keep)) for place, scored in mine]
        block = [record for _, record in sorted(chain(*ranks.gather(records)), key=itemgetter(0))]
        if trainer.is_global_zero:
            run_folder.append_block(self.files[batch.split], block)
        self.drawn += sum(len(record["correct"]) for record in block)
        self.bar.update(self.task, completed=self.drawn, description=self._line())
        now = time.perf_counter()
        if self.bar.disable and (now - self.said > LINE_EVERY_S or self.drawn == self.total):
            self.said = now
            left = (self.total - self.drawn) * (now - self.begun) / (self.drawn - self.before)
            self.console.print(f"{self._line()}, {left // 60:.0f}:{left % 60:02.0f} left", soft_wrap=True)

    def on_test_end(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        self.bar.stop()

    def on_exception(self, trainer: lightning.Trainer, pl_module: RLModule, exception: BaseException) -> None:
        self.bar.stop()

    def _line(self) -> str:
        return f"{self.drawn:,} of {self.total:,} completions"

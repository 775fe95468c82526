"""What a run will leave on the disk: said before it starts, and refused where it cannot fit."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsgrpo import run_folder
from rsgrpo.callbacks.checkpoint import OF_EVALUATION, Checkpoint
from rsgrpo.callbacks.export import Export
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError
from rsgrpo.models.lora import plain_parameters
from rsgrpo.models.policy import Policy
from rsgrpo.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """Bytes, at most, of the weights that a run keeps: its records and logs are small beside them."""

    checkpoint: int
    checkpoints: int
    """How many are kept in the end, the best one included."""
    replaces: bool = True
    """Whether more are saved than are kept: one is whole before an old one goes."""
    policy: int
    policies: int
    """How many are exported, the last one included."""

    @property
    def kept(self) -> int:
        """In the end."""
        return self.checkpoints * self.checkpoint + self.policies * self.policy

    @property
    def peak(self) -> int:
        """While a checkpoint is written that replaces another."""
        return self.kept + (self.checkpoint if self.checkpoints and self.replaces else 0)

    @property
    def least(self) -> int:
        """What every run needs: a checkpoint, if it saves any, and the policy."""
        return (self.checkpoint if self.checkpoints else 0) + self.policy

    def __str__(self) -> str:
        """`at most 9.1 GiB: 2 checkpoints of 2.8 GiB, and one more while it is written; 1 policy of 0.9 GiB`."""
        several = "checkpoints" if self.checkpoints > 1 else "checkpoint"
        more = ", and one more while it is written" if self.replaces else ""
        saved = f"{self.checkpoints} {several} of {size(self.checkpoint)}{more}; "
        exported = f"{self.policies} {'policies' if self.policies > 1 else 'policy'} of {size(self.policy)}"
        return f"at most {size(self.peak)}: {saved if self.checkpoints else ''}{exported}"


def disk_use(policy: Policy, recipe: Recipe, callbacks: Iterable[object]) -> DiskUse:
    """Weights and the optimiser's moments, counted from parameters and their types.

    Args:
        callbacks: those that save are `Checkpoint` and `Export`; what others write is not known.
    """
    saved, kept, exported = 0, 0, 1
    for callback in callbacks:
        if isinstance(callback, Checkpoint):
            saved += _saved(callback, recipe)
            kept += min(_saved(callback, recipe), callback.keep + (callback.best is not None))
        elif isinstance(callback, Export) and callback.every is not None:
            exported += recipe.iterations // callback.every
    weights = sum(p.numel() * p.element_size() for p in policy.parameters())
    moments = sum(recipe.optimizer.state_bytes(p) for p in policy.parameters() if p.requires_grad)
    return DiskUse(
        checkpoint=weights + moments,
        checkpoints=kept,
        replaces=saved > kept,
        policy=sum(p.numel() * p.element_size() for _, p, _ in plain_parameters(policy.model)),
        policies=exported,
    )


def _saved(callback: Checkpoint, recipe: Recipe) -> int:
    """How many checkpoints are written, kept or not."""
    at = {*range(callback.every, recipe.iterations, callback.every), recipe.iterations}
    if callback.best is not None and callback.best.startswith(OF_EVALUATION):
        at |= set(range(recipe.evaluation.every, recipe.iterations, recipe.evaluation.every))
    return len(at)


def check_disk(use: DiskUse, run: Path) -> str:
    """What the run will take of its disk, and what is free there, in a line.

    Raises:
        UserError: when not even what every run needs fits.
    """
    disk = shutil.disk_usage(run)
    there = sum(_bytes_below(run / name) for name in (run_folder.CHECKPOINTS, run_folder.POLICIES, run_folder.POLICY))
    free = disk.free + there  # a resumed run replaces what is there
    if disk.total and use.least > free:
        of = f"a checkpoint of {size(use.checkpoint)} and " if use.checkpoints else ""
        without = ", or save none with callbacks.checkpoint=null" if use.checkpoints and use.policy <= free else ""
        raise UserError(
            f"the run does not fit on its disk: it writes {of}the policy of {size(use.policy)} to {run}, where "
            f"{size(free)} are free; free some space, or choose another disk with hydra.run.dir=...{without}"
        )
    if disk.total and use.peak > free:
        say(
            f"warning: {run} has {size(free)} free, and the run takes up to {size(use.peak)}: it may end on a full "
            "disk; lower callbacks.checkpoint.keep, raise callbacks.export.every, or choose another disk with "
            "hydra.run.dir=..."
        )
    return f"{use}; {size(free)} free"


def _bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def size(count: float) -> str:
    """Bytes in the largest unit of which there is one.

    >>> size(512), size(1536), size(3 * 2**30)
    ('512 B', '1.5 KiB', '3.0 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1024
    return f"{count:,.1f} TiB"

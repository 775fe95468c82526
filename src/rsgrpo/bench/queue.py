"""In which order a bench runs its cells: an arm's learning rate is chosen once its tuning runs on a task are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rsgrpo.bench.cells import Arm, BenchSettings, Cell, reported_cells, tuning_cells
from rsgrpo.bench.records import Record
from rsgrpo.bench.scores import auc

SECONDS = 75.0
"""What a run takes that nothing is known of yet."""

Key = tuple[str, str]
"""(task, arm)"""


@dataclass(slots=True, kw_only=True)
class Queue:
    """What is left to do. Deterministic: the same records leave the same cells, whatever was interrupted."""

    settings: BenchSettings
    arms: Sequence[Arm]
    records: dict[str, Record] = field(default_factory=dict)
    """Finished runs by the name of their cell."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why a cell has no record, by its name."""
    undefined: dict[Key, str] = field(default_factory=dict)
    """Why an arm is not defined on a task."""
    started: set[str] = field(default_factory=set)
    durations: list[float] = field(default_factory=list)
    """Seconds by the clock of the runs that have ended here."""

    def take(self) -> Cell | None:
        """The next cell to start; None when there is none, or none yet."""
        for cell in self.open():
            if cell.name not in self.started:
                self.started.add(cell.name)
                return cell
        return None

    def open(self) -> list[Cell]:
        """The cells that can be run now and have not ended: reported ones first, in the order of the pairs."""
        reported = [cell for key in self._keys() for cell in self._reported(key)]
        places = {tuple(pair): place for place, pair in enumerate(self.settings.pairs)}
        reported.sort(key=lambda cell: places[cell.base, cell.seed])
        return [cell for cell in [*reported, *self._tuning()] if not self._is_over(cell)]

    def left(self) -> int:
        """How many runs are still to end, those included whose learning rate is not known yet."""
        unknown = [key for key in self._keys() if key not in self.undefined and self._is_tuning(key)]
        return len(self.open()) + len(unknown) * len(self.settings.pairs)

    def seconds_left(self, at_once: int, under_way: Sequence[float] = ()) -> float:
        """An estimate, from the runs that have ended here, or else from what was recorded of others.

        Args:
            at_once: how many runs go on at a time.
            under_way: seconds that each of those which are running has taken.
        """
        known = self.durations or [record.seconds for record in self.records.values()] or [SECONDS]
        usual = float(np.mean(known))
        return (self.left() * usual - sum(min(seconds, usual) for seconds in under_way)) / at_once

    def rate(self, key: Key) -> float | None:
        """The learning rate of an arm on a task: the highest mean AUC over its tuning runs, the lower one of a tie.

        None while one is still to end, and where all have failed.
        """
        cells = self._cells_of(key)
        if len(self.settings.rates) == 1:
            return float(self.settings.rates[0])
        if not all(self._is_over(cell) for cell in cells):
            return None
        found: dict[float, list[float]] = {}
        for cell in cells:
            if cell.name in self.records:
                found.setdefault(cell.rate, []).append(auc(self.records[cell.name], self.settings.k))
        return max(sorted(found), key=lambda rate: float(np.mean(found[rate])), default=None)

    def reported(self) -> list[Record]:
        """The runs of the leaderboard: of each arm and task those with the learning rate that was chosen."""
        chosen = {key: self.rate(key) for key in self._keys()}
        every = [record for record in self.records.values() if not record.tunes]
        return [record for record in every if chosen.get((record.task, record.arm), record.rate) == record.rate]

    def rates(self) -> Mapping[Key, Mapping[float, float]]:
        """By task and arm that are reported, the mean AUC on the validation split of each learning rate tried."""
        found: dict[Key, dict[float, list[float]]] = {}
        shown = {(record.task, record.arm) for record in self.reported()}
        for record in self.records.values():
            if record.tunes and (record.task, record.arm) in shown:
                of_rate = found.setdefault((record.task, record.arm), {}).setdefault(record.rate, [])
                of_rate.append(auc(record, self.settings.k))
        return {key: {rate: float(np.mean(v)) for rate, v in sorted(own.items())} for key, own in found.items()}

    def _keys(self) -> list[Key]:
        return [(task, arm.name) for task in self.settings.tasks for arm in self.arms]

    def _cells_of(self, key: Key) -> list[Cell]:
        if len(self.settings.rates) == 1:
            return []
        return [cell for cell in tuning_cells(self.settings, self.arms) if (cell.task, cell.arm.name) == key]

    def _tuning(self) -> list[Cell]:
        return [cell for key in self._keys() if key not in self.undefined for cell in self._cells_of(key)]

    def _is_tuning(self, key: Key) -> bool:
        return not all(self._is_over(cell) for cell in self._cells_of(key))

    def _reported(self, key: Key) -> list[Cell]:
        rate = None if key in self.undefined else self.rate(key)
        arm = next(arm for arm in self.arms if arm.name == key[1])
        return [] if rate is None else reported_cells(self.settings, arm, key[0], rate)

    def _is_over(self, cell: Cell) -> bool:
        return cell.name in self.records or cell.name in self.failed

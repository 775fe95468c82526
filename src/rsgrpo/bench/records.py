"""What a bench keeps of a finished run: the counts of each problem, and what made them. Every table follows from these.

A folder of records has a file for each task, `countdown.jsonl`, a line for each run, and `settings.json`: the resolved
configuration of each arm and task, which the lines refer to.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from rsgrpo import run_folder
from rsgrpo.bench.cells import Arm, Cell, Kind
from rsgrpo.comparison.arms import TEMPERATURE
from rsgrpo.comparison.measures import measure
from rsgrpo.comparison.runs import FILES, read_run
from rsgrpo.errors import UserError
from rsgrpo.measures.answers import distinct_at_k

SETTINGS = "settings.json"

SOLVED, ENTROPY = "train/cumulative_solve_rate", "train/entropy"

Settings = Mapping[str, Any]
"""Every key of a configuration, dotted, without base, seed and learning rate, and what changes no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One finished run."""

    task: str
    arm: str
    base: int
    """Seed of the base."""
    seed: int
    rate: float
    settings: str
    """Its key in `settings.json`."""
    split: str
    """`validation` of a run that chooses a learning rate, else `test`."""
    temperature: float
    """At which it was measured."""
    n: int
    """Completions of a problem."""
    before: Sequence[int]
    """Of them correct, for each problem, before training; a run that chooses a learning rate does without."""
    after: Sequence[int]
    """The same after training."""
    distinct: tuple[float, float]
    """Different right answers among `k` completions, the mean over the problems, before and after training."""
    k: int
    solved: float
    """Cumulative solve rate of training."""
    entropy: float | None
    """Of the policy in its last update, in nats per token; None of a run without any."""
    tokens: float
    """Mean length of a completion after training."""
    iteration: int
    """After which the run was finished."""
    seconds: float
    """Of a core, for the whole run."""
    weights: str
    """Hash of the base's weights."""
    problems: str
    """Hash of the problems of all splits."""
    version: str
    """Of rsgrpo."""
    processor: str

    @property
    def pair(self) -> tuple[str, int]:
        """(base, seed): runs of two arms are paired by it."""
        return f"base {self.base}", self.seed

    @property
    def cell(self) -> Cell:
        """The cell that it is of, without the words of its arm."""
        arm = Arm(name=self.arm, words=())
        return Cell(arm=arm, task=self.task, base=self.base, seed=self.seed, rate=self.rate, tunes=self.tunes)

    @property
    def accuracy(self) -> float:
        """pass@1 after training."""
        return sum(self.after) / (len(self.after) * self.n)

    @property
    def tunes(self) -> bool:
        """Whether it only chose a learning rate."""
        return self.split == "validation"


def record_of(run: Path, cell: Cell, k: int, *, settings: str) -> Record:
    """The record of a finished run.

    Raises:
        UserError: when its files are missing or damaged.
    """
    read, split = read_run(run), "validation" if cell.tunes else "test"
    done, described = run_folder.read_json(run / run_folder.DONE), read.described
    before, after = (list(_rows(run, split, iteration)) for iteration in (0, done["iteration"]))
    if not after or not (before or cell.tunes):
        raise UserError(f"{run} has no evaluations of its {split} split before and after training; leave eval as it is")
    return Record(
        task=cell.task,
        arm=cell.arm.name,
        base=cell.base,
        seed=cell.seed,
        rate=cell.rate,
        settings=settings,
        split=split,
        temperature=float(read.settings[TEMPERATURE]),
        n=after[0]["n"],
        before=tuple(row["correct"] for row in before),
        after=tuple(row["correct"] for row in after),
        distinct=(_distinct(before, k), _distinct(after, k)),
        k=k,
        solved=measure(SOLVED).logged(read, done["iteration"]) or 0.0,
        entropy=measure(ENTROPY).logged(read, done["iteration"]),
        tokens=round(float(np.mean([row["mean_tokens"] for row in after])), 3),
        iteration=done["iteration"],
        seconds=round(float(done["cpu_seconds"]), 1),
        weights=str(described.get("base", ""))[:16],
        problems=_hash_of([described["data"][name]["blake2b"] for name in ("train", "validation", "test")]),
        version=str(described["versions"]["rsgrpo"]),
        processor=str(described["machine"]["processor"]),
    )


def _rows(run: Path, split: str, iteration: int) -> Iterator[Mapping[str, Any]]:
    return iter(run_folder.ByIteration(run / FILES[split]).get(iteration, ()))


def _distinct(rows: Sequence[Mapping[str, Any]], k: int) -> float:
    """The mean over the problems of `distinct_at_k` of their right answers; 0 where there are no rows."""
    if not rows:
        return 0.0
    return round(float(np.mean([distinct_at_k(list(row["right_answers"].values()), row["n"], k) for row in rows])), 6)


class Records:
    """A folder of records; several processes may add to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[Record]:
        """In the order of the files, and of their lines.

        Raises:
            UserError: for a file that is not one of records.
        """
        return [record for file in sorted(self.folder.glob("*.jsonl")) for record in _read(file)]

    def settings(self) -> dict[str, Settings]:
        """By the key that records have."""
        file = self.folder / SETTINGS
        return dict(run_folder.read_json(file)) if file.exists() else {}

    def add(self, record: Record, settings: Settings) -> None:
        """Write down a run, unless another bench has done so.

        Raises:
            UserError: when the disk refuses.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            if any((one.cell.name, one.settings) == (record.cell.name, record.settings) for one in self.all()):
                return
            known = self.settings()
            if record.settings not in known:
                known[record.settings] = dict(settings)
                run_folder.write_json(self.folder / SETTINGS, dict(sorted(known.items())))
            run_folder.append(self.folder / f"{record.task}.jsonl", [asdict(record)])


def hash_of_settings(settings: Settings) -> str:
    """The key of a configuration in `settings.json`."""
    return _hash_of(settings)


def same_experiment(settings: Settings, known: Settings) -> bool:
    """Whether a recorded run of an arm and a task would come out the same today.

    Every key that it had has to have the value that it had; keys that came later leave what was there as it was.
    """
    return all(key in settings and settings[key] == value for key, value in known.items())


def still_true(place: Records, kinds: Mapping[Kind, Settings], baseline: str) -> list[Record]:
    """The records whose runs would come out the same today, by the settings of each kind.

    Records of other arms on the same tasks are kept beside them, but not those of a task on which the baseline was run
    with other settings than now: they stand on other ground.
    """
    known, every, tasks = place.settings(), place.all(), {task for task, _, _ in kinds}

    def is_true(record: Record) -> bool:
        return same_experiment(kinds[record.cell.kind], known[record.settings])

    of_baseline = [record for record in every if record.arm == baseline and record.cell.kind in kinds]
    elsewhere = {record.task for record in of_baseline if not is_true(record)}
    return [
        record
        for record in every
        if (is_true(record) if record.cell.kind in kinds else record.task in tasks - elsewhere)
    ]


def _hash_of(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=6).hexdigest()


def _read(file: Path) -> Iterator[Record]:
    names = {spec.name for spec in fields(Record)}
    for line in run_folder.read(file):
        read = {name: value for name, value in line.items() if name in names}
        own: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in read.items()}
        try:
            yield Record(**own)
        except TypeError as error:
            raise UserError(f"{file} does not hold records of a bench: {error}; restore it from a copy") from None

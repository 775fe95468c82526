"""A run folder as far as a comparison reads it."""

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rsgrpo import run_folder
from rsgrpo.comparison.answered import Answered, Samples
from rsgrpo.errors import UserError
from rsgrpo.measures.pass_at_k import Counts

FILES = {"test": run_folder.TEST, "validation": run_folder.VALIDATION}
"""By split, the file of its evaluations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The problems of one benchmark, as one policy was evaluated on them."""

    problems: tuple[str, ...]
    n: Counts
    correct: Counts
    tokens: float
    """Mean over all completions."""
    truncated: float
    """Share of all completions."""
    samples: Samples | None = None
    """Of `task=evaluate`, which writes down each of them."""

    @property
    def answered(self) -> list[Answered]:
        """What was sampled of each problem; there have to be `samples`."""
        assert self.samples is not None
        return [self.samples[problem] for problem in self.problems]

    @property
    def entropy(self) -> float:
        """-log p of a sampled token, in nats, mean over all: an estimate of the entropy of the sampler."""
        return -sum(one.logprob for one in self.answered) / max(1, sum(one.tokens for one in self.answered))


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One run, read from its folder; the folder is only read."""

    folder: Path
    settings: Mapping[str, Any]
    """Every key of its configuration, dotted."""
    described: Mapping[str, Any]
    """`run.json`."""
    trained_by: "Run | None" = None
    """Of an evaluation of a policy that a run has exported: that run."""

    @property
    def trains(self) -> bool:
        """Whether it is a training run; an evaluation has a single policy, at iteration 0."""
        return not str(self.settings.get("task._target_")).endswith(".evaluate")

    @property
    def is_untrained(self) -> bool:
        """Whether it is an evaluation of a policy that no run here has trained."""
        return not self.trains and self.trained_by is None

    @property
    def experiment(self) -> Mapping[str, Any]:
        """The settings that the policy was trained under."""
        return self.settings if self.trained_by is None else self.trained_by.experiment

    @property
    def seed(self) -> int:
        """Of RL: the order of the prompts and every sample."""
        return int(self.experiment.get("seed", 0))

    @property
    def base(self) -> str:
        """What training started from: the hash of its weights, or the seed of a pretrained base."""
        if self.trained_by is not None:
            return self.trained_by.base
        if self.settings.get("model.path") is None:  # two machines that pretrain it may round differently
            return f"base {self.settings.get('model.pretrain.seed')}"
        return str(self.described.get("base") or self.settings["model.path"])

    @property
    def pair(self) -> tuple[str, int]:
        """(base, seed): the runs of two arms are paired by it."""
        return self.base, self.seed

    def is_beside(self, other: "Run") -> bool:
        """Whether the two are compared: of one base and seed, or of one base where a policy has no seed of training."""
        return self.pair == other.pair or (self.base == other.base and (self.is_untrained or other.is_untrained))

    @cached_property
    def metrics(self) -> Mapping[int, Mapping[str, float]]:
        """Everything that was logged, by iteration."""
        merged: dict[int, dict[str, float]] = {}
        for record in run_folder.read(self.folder / run_folder.METRICS):
            merged.setdefault(record["iteration"], {}).update(record)
        return merged

    @cached_property
    def logged(self) -> frozenset[str]:
        """The names of everything that was logged."""
        return frozenset(name for record in self.metrics.values() for name in record)

    def evaluations(self, split: str) -> "Evaluations":
        """By iteration and benchmark; a split of one dataset has the benchmark `""`. Read when it is asked for."""
        cached = self._evaluations.get(split)
        if cached is None:
            samples = self.folder / run_folder.SAMPLES.format(split=split)
            known = Samples(samples) if not self.trains and samples.is_file() else None
            cached = self._evaluations[split] = Evaluations(self.folder / FILES[split], known)
        return cached

    @cached_property
    def _evaluations(self) -> "dict[str, Evaluations]":
        return {}


class Evaluations(Mapping[int, Mapping[str, Evaluated]]):
    """The evaluations of a file by iteration, in order; each is read once, when it is first asked for."""

    def __init__(self, file: Path, samples: Samples | None = None) -> None:
        self._records, self._samples = run_folder.ByIteration(file), samples
        self._read: dict[int, Mapping[str, Evaluated]] = {}

    def __getitem__(self, iteration: int) -> Mapping[str, Evaluated]:
        if iteration not in self._read:
            self._read[iteration] = _evaluation(self._records[iteration], self._samples)
        return self._read[iteration]

    def __iter__(self) -> Iterator[int]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, iteration: object) -> bool:
        return iteration in self._records


def read_run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        UserError: naming the folder, when it is none, or its files are missing or damaged.
    """
    if not (folder / run_folder.CONFIG).is_file() or not (folder / run_folder.RUN).is_file():
        inside = next(_runs_in(folder), None)
        cure = (
            f"it holds runs: name one, such as {inside}" if inside else f"it has no {run_folder.RUN}; name a run folder"
        )
        raise UserError(f"{folder} is not a run: {cure}")
    settings = dict(_flat(run_folder.read_config(folder)))
    run = Run(folder=folder, settings=settings, described=run_folder.read_json(folder / run_folder.RUN))
    return run if run.trains else replace(run, trained_by=_run_of(settings.get("model.path")))


def _run_of(policy: Any) -> Run | None:
    """The run that has exported a policy to its own folder; None for any other."""
    if not isinstance(policy, str):
        return None
    parents = Path(policy).expanduser().parents
    folder = next((parent for parent in parents[:2] if (parent / run_folder.CONFIG).is_file()), None)
    return None if folder is None else read_run(folder)


def find_runs(names: Sequence[str], *, key: str = "runs") -> list[Path]:
    """The run folders that names stand for: a run, a folder of runs such as a sweep, or a pattern of either.

    `key` is what a message says that they were named by.

    Each folder once, in the order of the names; within a folder or pattern by number, so that job 10 follows job 9.

    Raises:
        UserError: for a name that stands for no run.
    """
    found: dict[Path, None] = {}
    for name in names:
        expanded = os.path.expanduser(name)
        places = sorted(map(Path, glob.glob(expanded)), key=_natural) if glob.has_magic(expanded) else [Path(expanded)]
        runs = [run for place in places if place.is_dir() for run in _runs_in(place)]
        if not runs:
            raise UserError(f"{key}: {name} {_why_not(places)}; name run folders, a folder of them, or a pattern")
        found |= dict.fromkeys(run.resolve() for run in runs)
    return [_as_named(run) for run in found]


def _runs_in(place: Path) -> Iterator[Path]:
    if (place / run_folder.RUN).is_file():
        yield place
    else:
        yield from sorted((file.parent for file in place.glob(f"*/{run_folder.RUN}")), key=_natural)


def _why_not(places: Sequence[Path]) -> str:
    if not places:
        return "matches nothing"
    if not [place for place in places if place.is_dir()]:
        return "is not a folder"
    if any(True for place in places for _ in place.glob(f"*/*/{run_folder.RUN}")):
        return f"holds folders of runs ('{places[0]}/*')"
    return f"holds no run: there is no {run_folder.RUN} in it, nor in a folder below it"


def _as_named(run: Path) -> Path:
    """As it is read best: from the current folder, where it lies below it."""
    return run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value); an empty mapping is a value."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _evaluation(records: Sequence[Mapping[str, Any]], samples: Samples | None) -> Mapping[str, Evaluated]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        rows.setdefault(str(record["facts"].get("dataset", "")), []).append(record)
    return {benchmark: _evaluated(problems, samples) for benchmark, problems in rows.items()}


def _evaluated(rows: Sequence[Mapping[str, Any]], samples: Samples | None) -> Evaluated:
    n = np.array([row["n"] for row in rows])
    return Evaluated(
        problems=tuple(str(row.get("problem_id")) for row in rows),
        n=n,
        correct=np.array([row["correct"] for row in rows]),
        tokens=float(np.average([row["mean_tokens"] for row in rows], weights=n)),
        truncated=float(sum(row["truncated"] for row in rows) / n.sum()),
        samples=samples,
    )

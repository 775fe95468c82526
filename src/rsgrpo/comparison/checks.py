"""What runs have to agree in to be compared: the same problems, sampled and judged alike. What differs is told."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsgrpo.comparison.arms import TEMPERATURE
from rsgrpo.comparison.measures import Measure
from rsgrpo.comparison.runs import Evaluated, Run
from rsgrpo.errors import UserError

SAMPLING = "eval.sampling."

NO_SAMPLING = ("eval.sampling._target_",)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The runs that can be compared, and on what."""

    split: str
    runs: Sequence[Run]
    benchmarks: tuple[str, ...]
    notes: Sequence[str]

    def evaluated(self, run: Run, iteration: int) -> Mapping[str, Evaluated]:
        """What all runs have of this run's evaluation, by benchmark."""
        found = run.evaluations(self.split)[iteration]
        return {name: found[name] for name in self.benchmarks if name in found}


def with_evaluations(runs: Sequence[Run], split: str, notes: list[str]) -> list[Run]:
    """The runs that have an evaluation of `split`, sampled alike; `notes` gets which were left out, and why.

    Raises:
        UserError: when no run is left, and when evaluations sampled differently.
    """
    if not runs:
        raise UserError("runs: there is nothing to compare; name run folders, a sweep, or a pattern")
    kept = [run for run in runs if run.evaluations(split)]
    if missing := [run for run in runs if not run.evaluations(split)]:
        listed = ", ".join(str(run.folder) for run in missing)
        if not kept:
            other = next((s for s in ("test", "validation") if s != split and runs[0].evaluations(s)), None)
            cure = f"task.split={other}" if other else "a run with eval=pass_at_k, or task=evaluate"
            raise UserError(f"runs: none has an evaluation of the {split} split ({listed}); try {cure}")
        notes.append(f"left out, no evaluation of the {split} split: {listed}")
    kept = _without_unfinished(kept, split, notes)
    _check_sampling(kept)
    return kept


def checked(
    runs: Sequence[Run], split: str, at: Mapping[Run, int], measures: Sequence[Measure], notes: list[str]
) -> Checked:
    """The benchmarks on which runs can be compared at the given iterations, and with their bases.

    Other evaluations may differ from these: those during training usually have fewer samples.

    Raises:
        UserError: when the runs have no benchmark in common, when one name stands for different problems, and when a
            measure needs more samples than were drawn.
    """
    evaluations = {run: [run.evaluations(split)[i] for i in _looked_at(run, split, at[run])] for run in runs}
    benchmarks = _common_benchmarks(evaluations, split, notes)
    _check_problems(evaluations, split, benchmarks)
    _check_samples(evaluations, benchmarks, measures, notes)
    return Checked(split=split, runs=runs, benchmarks=benchmarks, notes=notes)


def _looked_at(run: Run, split: str, at: int) -> list[int]:
    return sorted({i for i in (0, at) if i in run.evaluations(split)})


def _without_unfinished(runs: Sequence[Run], split: str, notes: list[str]) -> list[Run]:
    """The runs of which more than the base was evaluated, and evaluations of single policies.

    Raises:
        UserError: when there is none.
    """
    only_base = [run for run in runs if run.trains and max(run.evaluations(split)) == 0]
    listed = ", ".join(str(run.folder) for run in only_base)
    if len(only_base) == len(runs):
        raise UserError(
            f"runs: of each only the base was evaluated on the {split} split so far ({listed}); finish them: "
            f"ckpt={only_base[0].folder}"
        )
    if only_base:
        notes.append(f"left out, only the base was evaluated on the {split} split so far: {listed}")
    return [run for run in runs if run not in only_base]


def _check_sampling(runs: Sequence[Run]) -> None:
    first = runs[0]
    grid = not any(run.trains for run in runs)  # evaluations may differ in temperature: it is a part of their arm
    keys = sorted({key for run in runs for key in run.settings if key.startswith(SAMPLING) and key not in NO_SAMPLING})
    for run in runs[1:]:
        for key in keys:
            a, b = first.settings.get(key), run.settings.get(key)
            if a != b and not (grid and key == TEMPERATURE):
                raise UserError(
                    f"runs: {first.folder} was evaluated with {key}={a} and {run.folder} with {key}={b}: their numbers "
                    "do not measure the same; evaluate both alike with task=evaluate"
                )


Looked = Mapping[Run, Sequence[Mapping[str, Evaluated]]]
"""The evaluations of each run that are compared."""


def _common_benchmarks(evaluations: Looked, split: str, notes: list[str]) -> tuple[str, ...]:
    """Those that all of these evaluations have."""
    counted = Counter(name for of_run in evaluations.values() for at in of_run for name in at)
    total = sum(map(len, evaluations.values()))
    common = tuple(name for name, count in counted.items() if count == total)
    if not common:
        raise UserError(f"runs: their {split} splits have no benchmark in common ({', '.join(map(str, counted))})")
    if others := [name for name in counted if name not in common]:
        notes.append(f"left out, not evaluated by every run: {', '.join(others)}")
    return common


def _check_problems(evaluations: Looked, split: str, benchmarks: Sequence[str]) -> None:
    for name in benchmarks:
        seen: tuple[Run, tuple[str, ...]] | None = None
        for run, of_run in evaluations.items():
            for at in of_run:
                problems = tuple(sorted(at[name].problems))
                seen = seen or (run, problems)
                if problems != seen[1]:
                    of = f" {name}" if name else ""
                    raise UserError(
                        f"runs: {seen[0].folder} and {run.folder} were evaluated on different problems of the "
                        f"{split} split{of} ({len(seen[1])} and {len(problems)}); compare runs of the same data"
                    )


def _check_samples(
    evaluations: Looked, benchmarks: Sequence[str], measures: Sequence[Measure], notes: list[str]
) -> None:
    fewest = {
        run: min(int(at[name].n.min()) for at in of_run for name in benchmarks) for run, of_run in evaluations.items()
    }
    for measure in measures:
        if measure.by_answers is not None:
            _check_answers(evaluations, measure)
        short = [run for run in evaluations if measure.metric is None and fewest[run] < measure.k]
        if short:
            run = short[0]
            raise UserError(
                f"measures: {measure.name} needs {measure.k} samples of each problem, and {run.folder} has "
                f"{fewest[run]}; choose a smaller k"
            )
    if len(set(fewest.values())) > 1:
        few, many = min(fewest, key=lambda run: fewest[run]), max(fewest, key=lambda run: fewest[run])
        notes.append(
            f"unequal samples of a problem: {fewest[few]} in {few.folder}, {fewest[many]} in {many.folder}; pass@k is "
            "unbiased for any number, answers of more samples vary less"
        )


def _check_answers(evaluations: Looked, measure: Measure) -> None:
    for run, of_run in evaluations.items():
        parts = [part for at in of_run for part in at.values()]
        if any(part.samples is None for part in parts):
            raise UserError(
                f"measures: {measure.name} needs each sample, and a training run keeps counts; evaluate its policy "
                f"first: task=evaluate model.path={run.folder}"
                if run.trains
                else f"measures: {measure.name} needs each sample, and {run.folder} has no file of them"
            )
        if not measure.name.startswith("max@") and not all(one.has_answers for part in parts for one in part.answered):
            raise UserError(
                f"measures: {measure.name} needs answers, and the reward of {run.folder} does not say which a "
                "completion gives (docs/rewards.md: answer)"
            )

"""Why an iteration taught nothing: in words for the terminal, with a completion to look at."""

from collections import Counter
from collections.abc import Sequence

from rsgrpo.types import Completion, Outcome, Score, StepReport

DIAGNOSES = {
    "no_box": r"no \boxed{}",
    "malformed": "an answer that cannot be read",
    "too_long": "an answer that is too long to compare",
    "timeout": "no verdict in time",
    "error": "a reward that failed",
}
"""What a completion has, by the last word of the part of its reward that says so."""

NEARLY_ALL = 0.9
"""Share of cut-off completions from which the limit is too small."""

SHOWN = 100
"""Characters of a completion that are shown."""


def taught_nothing(report: StepReport) -> bool:
    """Whether every group was dropped, or every gradient was 0."""
    return all(update.grad_norm == 0 for update in report.updates)


def kind(report: StepReport) -> str:
    """`all_right`, `all_wrong`, `equal_rewards` or else `dropped`: what such iterations have in common."""
    outcomes = report.outcomes
    if all(outcome.num_correct == len(outcome.scores) for outcome in outcomes):
        return "all_right"
    if all(outcome.num_correct == 0 for outcome in outcomes):
        return "all_wrong"
    return "equal_rewards" if all(_are_equal(outcome) for outcome in outcomes) else "dropped"


def reason(report: StepReport, *, limit: str) -> str:
    r"""In a line, why an iteration taught nothing.

    `every group was dropped, nothing to train on: all 512 completions are wrong (reward 0); all have no \boxed{}; one
    of them: "The answer is 4"`

    Args:
        limit: what cuts completions off, as the reader knows it: `max_new_tokens=24`.
    """
    scores = [score for outcome in report.outcomes for score in outcome.scores]
    found = Counter(name for score in scores for name in sorted(_names(score)))
    cut_off = sum(not finished for outcome in report.outcomes for finished in outcome.finished)

    def number(count: int) -> str:
        return "all" if count == len(scores) else f"{count:,}"

    said = [_cause(report, scores)]
    said += [f"{number(count)} have {DIAGNOSES[name]}" for name, count in found.most_common()]
    if cut_off:
        cure = ", try a larger one" if cut_off >= NEARLY_ALL * len(scores) else ""
        said.append(f"{number(cut_off)} are cut off at {limit}{cure}")
    example = _example(report, next(iter(dict(found.most_common(1))), None))
    if example is not None:
        said.append(f'one of them: "{shortened(example.text)}"')
    return f"{_fate(report)}: {'; '.join(said)}"


def _fate(report: StepReport) -> str:
    if not report.updates:
        return "every group was dropped, nothing to train on"
    return "the gradient was 0" if report.advantages.any() else "every advantage was 0"


def _cause(report: StepReport, scores: Sequence[Score]) -> str:
    values = sorted({score.value for score in scores})
    rewards = f"reward {values[0]:g}" if len(values) == 1 else f"rewards {values[0]:g} to {values[-1]:g}"
    of_all = {"all_right": "right", "all_wrong": "wrong"}.get(kind(report))
    if of_all is not None:
        return f"all {len(scores):,} completions are {of_all} ({rewards})"
    if kind(report) == "equal_rewards":
        return f"the rewards within each of the {len(report.outcomes):,} groups are equal ({rewards})"
    why = Counter(reason for reason in report.dropped if reason is not None)
    return ", ".join(f"{count:,} groups by {name}" for name, count in why.most_common()) or rewards


def _are_equal(outcome: Outcome) -> bool:
    """Whether the rewards of a group differ by no more than rounding."""
    return max(outcome.rewards) - min(outcome.rewards) <= 1e-9 * max(1.0, *map(abs, outcome.rewards))


def _names(score: Score) -> set[str]:
    """Those of `DIAGNOSES` that its parts have."""
    return {name.rpartition("/")[2] for name, value in score.parts.items() if value} & DIAGNOSES.keys()


def _example(report: StepReport, diagnosis: str | None) -> Completion | None:
    """The first completion of this rank, of those that have the diagnosis if there is one."""
    for place in sorted(report.groups):
        scored = report.groups[place]
        for completion, score in zip(scored.group.completions, scored.scores, strict=True):
            if diagnosis is None or diagnosis in _names(score):
                return completion
    return None


def shortened(text: str) -> str:
    """The beginning and the end of a text, on one line and without what would move the cursor.

    >>> shortened("one\\n  two\\x1b[2J")
    'one two\\\\x1b[2J'
    """
    line = " ".join(text.split())
    line = line if line.isprintable() else repr(line)[1:-1]
    return line if len(line) <= SHOWN else f"{line[: SHOWN * 2 // 3]} ... {line[-SHOWN // 3 :]}"

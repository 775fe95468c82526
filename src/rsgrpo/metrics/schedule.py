"""The value that the schedule set."""

from rsgrpo.types import StepReport


def scheduled_value(report: StepReport) -> dict[str, float]:
    """`beta`, `k`, or whatever the schedule drives; with a value for each prompt the mean over the prompts that were
    trained on, and `beta_min` and `beta_max` beside it."""
    return dict(report.in_force)

"""The policy's entropy on what it is trained on."""

from rsgrpo.types import StepReport


def entropy(report: StepReport) -> dict[str, float]:
    """`entropy`: nats per trained token, at the sampling temperature, before the update; none if none were."""
    return {} if report.entropy is None else {"entropy": report.entropy}

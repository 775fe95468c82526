"""What the groups of an iteration looked like, and which were dropped."""

from collections import Counter

from rsgrpo.types import StepReport


def groups(report: StepReport) -> dict[str, float]:
    """`groups_kept`, `groups_dropped/<reason>`, the shares of all-correct and all-wrong groups, and `advantage_rms`;
    `refills` and `groups_sampled` of an iteration that sampled other prompts for dropped groups.

    `advantage_rms` is the scale without which two objectives cannot be compared at one learning rate.
    """
    total = len(report.outcomes)
    dropped = Counter(reason for reason in report.dropped if reason is not None)
    solved_all = sum(outcome.num_correct == len(outcome.scores) for outcome in report.outcomes)
    solved_none = sum(outcome.num_correct == 0 for outcome in report.outcomes)
    kept = report.advantages
    refilled = {"refills": float(report.refills), "groups_sampled": float(total)} if report.refills else {}
    return {
        **refilled,
        "groups_kept": float(total - sum(dropped.values())),
        "groups_all_correct_fraction": solved_all / total,
        "groups_all_wrong_fraction": solved_none / total,
        "advantage_rms": kept.square().mean().sqrt().item() if kept.numel() else 0.0,
        **{f"train/groups_dropped/{reason}": float(dropped[reason]) for reason in ("all_correct", "all_wrong")},
        **{f"train/groups_dropped/{reason}": float(count) for reason, count in dropped.items()},
    }

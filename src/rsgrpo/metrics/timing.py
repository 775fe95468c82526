"""Where the time of an iteration went."""

from rsgrpo.types import StepReport


def stage_times(report: StepReport) -> dict[str, float]:
    """`time/<stage>_s` of every stage, which sum to `time/step_s`, and tokens per second, sampled and trained."""
    seconds = {f"time/{name}_s": value for name, value in report.seconds.items()}
    return seconds | {f"time/{name}": value for name, value in throughput(report).items()}


def throughput(report: StepReport) -> dict[str, float]:
    """Tokens per second of the stages that sample and that train; a stage that did not run is left out.

    Sampled tokens are those of the completions; trained tokens are all tokens of the packed rows, prompts included,
    counted once per pass.
    """
    sampled = sum(sum(outcome.lengths) for outcome in report.outcomes)
    trained = sum(update.row_tokens for update in report.updates)
    rates = {"sampled_tokens_per_s": (sampled, "rollout"), "trained_tokens_per_s": (trained, "update")}
    return {name: count / report.seconds[s] for name, (count, s) in rates.items() if count and report.seconds.get(s)}

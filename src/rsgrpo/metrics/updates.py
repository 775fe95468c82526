"""What the optimiser did."""

from rsgrpo.types import StepReport


def updates(report: StepReport) -> dict[str, float]:
    """`loss`, `grad_norm` and the diagnostics of loss, terms and correction such as `clip_fraction`, means over the
    iteration's updates weighted by their loss tokens; `learning_rate`, `loss_tokens`, and the counters of iterations
    and optimiser steps. `bad_updates` were skipped, since something in them was not finite, and count nowhere else.

    How the trainer's log-probs differ from the sampler's: |difference| as `logprob_gap` (the largest),
    `logprob_gap_mean` and `logprob_gap_p99`; `sampler_kl`; `sampler_ratio_outside`, the share of tokens whose ratio is
    outside [.9, 1.1].

    Where nothing was trained, the counters alone.
    """
    sound = [update for update in report.updates if update.skipped is None]
    counters: dict[str, float] = {"iteration": report.iteration, "optimizer_steps": report.optimizer_steps}
    counters["bad_updates"] = len(report.updates) - len(sound)
    tokens = sum(update.loss_tokens for update in sound)
    if not tokens:
        return counters
    said = [
        (update.loss_tokens, {"loss": update.loss, "grad_norm": update.grad_norm, **update.diagnostics})
        for update in sound
    ]
    means = {name: sum(of[name] * count for count, of in said) / tokens for name in said[0][1]}
    last = {"learning_rate": sound[-1].learning_rate, "loss_tokens": float(tokens)}
    return {**means, **last, **_gap(report), **counters}


def _gap(report: StepReport) -> dict[str, float]:
    gap = report.sampler_gap
    if gap is None:
        return {} if report.logprob_gap is None else {"logprob_gap": report.logprob_gap}
    return {
        "logprob_gap": gap.largest,
        "logprob_gap_mean": gap.mean,
        "logprob_gap_p99": gap.p99,
        "sampler_kl": gap.kl,
        "sampler_ratio_outside": gap.outside,
    }

"""What the optimiser did."""

from rsgrpo.types import StepReport


def updates(report: StepReport) -> dict[str, float]:
    """`loss`, `grad_norm` and the loss's own diagnostics such as `clip_fraction`, means over the iteration's updates
    weighted by their loss tokens; `learning_rate`, `loss_tokens`, `logprob_gap` (largest |trainer - sampler| log-prob),
    and the counters of iterations and optimiser steps.

    Where nothing was trained, the counters alone.
    """
    counters: dict[str, float] = {"iteration": report.iteration, "optimizer_steps": report.optimizer_steps}
    tokens = sum(update.loss_tokens for update in report.updates)
    if not tokens:
        return counters
    said = [
        (update.loss_tokens, {"loss": update.loss, "grad_norm": update.grad_norm, **update.diagnostics})
        for update in report.updates
    ]
    means = {name: sum(of[name] * count for count, of in said) / tokens for name in said[0][1]}
    gap = {} if report.logprob_gap is None else {"logprob_gap": report.logprob_gap}
    last = {"learning_rate": report.updates[-1].learning_rate, "loss_tokens": float(tokens)}
    return {**means, **last, **gap, **counters}

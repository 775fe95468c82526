"""The run's engine: does it sample from the policy, and does a sync move every tensor?"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from rsgrpo.doctor.bench import Bench
from rsgrpo.doctor.table import Result
from rsgrpo.models.lora import plain_parameters

OF_ITS_OWN_WEIGHTS = 1e-3
"""Bound of the mean gap where the engine samples the very module that is trained, in nats; a hundred times that where
both compute in bfloat16."""

FEW = 4
"""New tokens of each completion, where every tensor needs samples of its own."""

SEEN = 10.0
"""A changed tensor has to move the log-probs by so many times the gap that is there anyway, or nothing can be said."""


STALE = 0.25
"""An engine that keeps the old tensor is off by what the tensor moves; one that follows, by a tenth of it at most."""


def start(bench: Bench) -> Result:
    """The first sync, which starts an engine that has weights of its own."""
    begun = time.perf_counter()
    bench.engine  # noqa: B018 (made and synced by being asked for)
    return Result(f"{type(bench.engine).__name__}, {time.perf_counter() - begun:.1f} s")


def parity(bench: Bench) -> Result:
    """Trainer against sampler on what was just sampled, in nats: mean, 99th percentile, largest."""
    gaps = bench.gaps()
    mean, bound = float(gaps.mean()), bound_of(bench)
    p99 = float(gaps.double().quantile(0.99))
    return Result(
        f"mean {mean:.2g}, p99 {p99:.2g}, largest {float(gaps.max()):.2g} nats of {len(gaps)} tokens",
        f"mean {bound:g} nats",
        mean <= bound,
    )


def every_tensor_moves(bench: Bench) -> Result:
    """Change each tensor of the policy alone, sync, and look: the engine has to follow the trainer.

    Engines that sample the live module have nothing to move, and are only asked whether they see it.
    """
    base = max(float(bench.gaps(FEW).mean()), 1e-7)
    stale, unseen, tensors = [], [], list(plain_parameters(bench.policy.model))
    row = bench.canary_row(FEW)
    with torch.no_grad():
        before = bench.forward(row).logprobs
    for name, parameter, _ in tensors:
        with changed(parameter):
            with torch.no_grad():
                moved = float((bench.forward(row).logprobs - before).abs().mean())
            bench.sync()
            gap = float(bench.gaps(FEW).mean())
        if moved < SEEN * base:
            unseen.append(name)
        elif gap > moved * STALE:
            stale.append(name)
    bench.sync()
    found = f"{len(tensors) - len(stale) - len(unseen)} of {len(tensors)} tensors followed"
    if unseen:
        found += f", {len(unseen)} change too little to tell"
    if stale:
        found += f"; not {stale[0]}" + (f" and {len(stale) - 1} more" if len(stale) > 1 else "")
    return Result(found, "all", not stale and len(unseen) < len(tensors) / 2)


def names(bench: Bench) -> Result:
    """A sync hands every parameter over once, by its Hugging Face name."""
    begun = time.perf_counter()
    taken = bench.sync()
    seconds = time.perf_counter() - begun
    wanted = bench.policy.weight_names()
    if not taken:
        return Result("the engine samples the live module: nothing to hand over")
    ok = len(taken) == len(set(taken)) and set(taken) == wanted
    return Result(f"{len(taken)} tensors, {seconds:.3f} s", f"{len(wanted)} names, each once", ok)


def same_seeds_same_samples(bench: Bench) -> Result:
    """Two calls with the same seeds draw the same tokens, but for draws that rounding in half precision may flip."""
    first, second = bench.canary_row(), bench.canary_row()
    same = first.token_ids.shape == second.token_ids.shape
    share = float((first.token_ids == second.token_ids).float().mean()) if same else 0.0
    least = 0.9 if bench.half or (bench.engine.parity and bench.engine.parity.half_precision) else 1.0
    return Result(f"{share:.1%} of the tokens" if same else "other lengths", f"{least:.0%}", share >= least)


def bound_of(bench: Bench) -> float:
    """Of the mean gap, in nats."""
    if bench.engine.parity is not None:
        return bench.engine.parity.bound
    return OF_ITS_OWN_WEIGHTS * (100 if bench.half else 1)


@contextmanager
def changed(parameter: nn.Parameter) -> Iterator[None]:
    """Other values inside: half as large again, and noise of the tensor's own size on top."""
    kept = parameter.detach().clone()
    noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).to(parameter)
    scale = kept.float().square().mean().sqrt().to(parameter.dtype).clamp_min(1e-3)
    with torch.no_grad():
        parameter.mul_(1.5).add_(noise * scale)
    try:
        yield
    finally:
        with torch.no_grad():
            parameter.copy_(kept)

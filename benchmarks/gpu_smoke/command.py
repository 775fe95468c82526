"""The command line of the smoke test, and its checks in the order in which they build on one another."""

import argparse
import logging
import os
import random
import sys
import warnings
from collections.abc import Sequence

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from rich.console import Console

import benchmarks.gpu_smoke
from benchmarks.gpu_smoke.bench import Bench
from benchmarks.gpu_smoke.memory import Memory
from benchmarks.gpu_smoke.policy import SIZES
from benchmarks.gpu_smoke.processes import OtherProcesses
from benchmarks.gpu_smoke.table import Check, Checks, limited
from benchmarks.gpu_smoke.training import ITERATIONS, Training
from rsgrpo.rollouts.vllm.process import missing

LAST_CHECK = 45.0
"""Seconds that the last check has at least, before it counts as failed and the process ends."""


def checks_of(bench: Bench) -> list[Check]:
    """In the order in which they build on one another."""
    training, memory, others = Training(bench), Memory(bench), OtherProcesses(bench)
    start, fit = "engine start, first sync", f"{ITERATIONS} iterations of training"
    return [
        Check(name="versions and device", run=bench.versions),
        Check(name="random policy", run=bench.build),
        Check(name=start, run=bench.start, after="random policy"),
        Check(name="sync at version 0", run=bench.sync, after=start),
        Check(name="parity at version 0, trainer in float32", run=bench.parity, after=start),
        Check(
            name="parity at version 0, trainer in bfloat16",
            run=bench.parity_in_bfloat16,
            after=start,
            on_gpu_only=True,
        ),
        Check(name="a sync empties the prefix cache", run=bench.prefixes, after=start),
        Check(name=fit, run=training.fit, after=start),
        Check(name="the updates would show in the parity", run=training.moved, after=fit),
        Check(name="parity after the updates", run=bench.parity, after=fit),
        Check(name="peak memory, GiB", run=training.peaks, after=fit, on_gpu_only=True),
        Check(name="sleep gives memory back", run=memory.sleep, after=start, on_gpu_only=True),
        Check(name="parity after sleep and wake", run=memory.wake, after=start),
        Check(name="parity after a wake beside cached memory", run=memory.crowded_wake, after=start, on_gpu_only=True),
        Check(name="close gives memory back", run=memory.close, after=start, on_gpu_only=True),
        Check(
            name="a second engine in the same process",
            run=memory.again,
            after="close gives memory back",
            on_gpu_only=True,
        ),
        Check(name="vllm without CUDA graphs", run=lambda: others.speed("vllm", enforce_eager=True)),
        Check(name="vllm with CUDA graphs", run=lambda: others.speed("vllm", enforce_eager=False), on_gpu_only=True),
        Check(name="hf, on fewer tokens", run=lambda: others.speed("hf")),
        Check(name="parity of an engine in float32", run=others.parity_in_float32, on_gpu_only=True),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        description=benchmarks.gpu_smoke.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="qwen3_0_6b", choices=list(SIZES))
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="of the engine")
    parser.add_argument("--max-gap", type=float, help="bound of the parity in nats instead of the engine's own")
    parser.add_argument("--minutes", type=float, default=7.0, help="no check starts later than this")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "gpu_smoke needs an NVIDIA GPU that PyTorch can use; --device cpu --size tiny checks what needs none",
            file=sys.stderr,
        )
        return 2
    if (problem := missing()) is not None:
        print(problem, file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    random.seed(0)
    seconds = 60 * options.minutes
    checks = Checks(on_gpu=options.device == "cuda", seconds=seconds, limit=seconds + LAST_CHECK)
    with limited(checks):
        checks.run(checks_of(Bench(options)))
    checks.show(Console())
    return int(checks.failed)

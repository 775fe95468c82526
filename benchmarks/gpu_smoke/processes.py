"""Checks in processes of their own, since vLLM's allocator serves one engine in each."""

import argparse
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from benchmarks.engines import Speed, measure
from benchmarks.gpu_smoke.bench import Bench
from benchmarks.gpu_smoke.policy import autocast, build_policy, engine_settings
from benchmarks.gpu_smoke.table import Result
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine

Found = TypeVar("Found")


class OtherProcesses:
    """What is checked once the bench is cleared."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def speed(self, name: str, enforce_eager: bool = True) -> Result:
        """In a process of its own, as every run has one engine."""
        self.bench.clear()
        speed = in_child(speed_of, self.bench.options, name, enforce_eager)
        return Result(
            f"{speed.tokens_per_second:,.0f} tokens/s, sync {speed.sync:.3f} s, first round {speed.first_round:.1f} s"
        )

    def parity_in_float32(self) -> Result:
        """Engine and trainer without rounding to bfloat16: much closer."""
        self.bench.clear()
        return in_child(parity_of, argparse.Namespace(**vars(self.bench.options) | {"dtype": "float32"}))


def speed_of(options: argparse.Namespace, name: str, enforce_eager: bool) -> Speed:
    """Tokens per second and seconds per sync of one engine."""
    policy = build_policy(options.size, options.device)
    large = options.size != "tiny" and options.device == "cuda"
    work = {"prompts": 64, "completions": 8, "tokens": 256} if large else {"prompts": 8, "completions": 4, "tokens": 32}
    if name == "vllm":
        settings = engine_settings(options)
        return measure(
            lambda: VLLMEngine(policy=policy, enforce_eager=enforce_eager, **settings), policy, **work, repeats=1
        )
    work |= {"prompts": work["prompts"] // 4, "tokens": work["tokens"] // 4}
    with autocast(options.device):
        return measure(lambda: HFEngine(policy=policy), policy, **work, repeats=1)


def parity_of(options: argparse.Namespace) -> Result:
    """The first sync of an engine and its parity."""
    bench = Bench(options)
    bench.build()
    bench.start()
    return bench.parity()


def in_child(function: Callable[..., Found], *arguments: Any) -> Found:
    """The result of a function in a process of its own, or its exception; the process is gone then."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()

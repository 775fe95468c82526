"""Tokens per second and seconds per sync of the two engines, one after the other on the same policy.

    python benchmarks/engines.py [--prompts 64] [--completions 16] [--tokens 32] [--repeats 3] [--dtype float32]

Random policies of 0.2 and 25 million parameters, random prompts of 20 tokens. The best of the repeats counts: other
work on the machine only ever makes it slower. The first round of each engine, with its start, is not counted but shown.
"""

import argparse
import random
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.types import Problem, Prompt, Sampling

SIZES = {"tiny": (64, 3), "25M": (512, 8)}
"""(hidden size, layers) by name."""


class Speed(NamedTuple):
    """What an engine does on a machine."""

    first_round: float
    """Seconds of the first sync, which starts the engine, and the first completions."""
    tokens_per_second: float
    sync: float
    """Seconds."""

    def __str__(self) -> str:
        return (
            f"first round {self.first_round:5.1f} s   {self.tokens_per_second:8,.0f} tokens/s   sync {self.sync:.3f} s"
        )


def random_prompts(number: int, length: int) -> list[Prompt]:
    """Prompts of `length` tokens that the tiny tokenizer knows."""
    draw = random.Random(0)
    return [
        Prompt(
            problem=Problem(id=str(i), text="", answer=""),
            token_ids=tuple(draw.randrange(2, 400) for _ in range(length)),
        )
        for i in range(number)
    ]


def measure(
    make: Callable[[], RolloutEngine], policy: Policy, *, prompts: int, completions: int, tokens: int, repeats: int
) -> Speed:
    """The best of `repeats` rounds after the first."""
    asked, sampling = random_prompts(prompts, length=20), Sampling(max_new_tokens=tokens)
    engine = make()
    first, speeds, syncs = 0.0, [], []
    for round_ in range(repeats + 1):
        start = time.perf_counter()
        engine.load_policy(full_tensors(policy.model), version=round_)
        loaded = time.perf_counter()
        groups = engine.generate(asked, sampling, num_completions=completions, seeds=range(round_, round_ + len(asked)))
        sampled = sum(len(completion.token_ids) for _, group in groups for completion in group.completions)
        end = time.perf_counter()
        if round_ == 0:
            first = end - start
        else:
            syncs.append(loaded - start)
            speeds.append(sampled / (end - loaded))
    engine.close()
    return Speed(first, max(speeds), min(syncs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--completions", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = options.prompts * options.completions
    work = {name: getattr(options, name) for name in ("prompts", "completions", "tokens", "repeats")}
    for size in options.sizes:
        hidden_size, num_layers = SIZES[size]
        tokenizer = build_tokenizer()
        policy = Policy(build_model(tokenizer, hidden_size=hidden_size, num_layers=num_layers, seed=0), tokenizer)
        count = sum(parameter.numel() for parameter in policy.parameters())
        print(f"{size}: {count:,} parameters, {options.prompts} x {options.completions} x {options.tokens} tokens")
        engines: dict[str, Callable[[], RolloutEngine]] = {
            "hf": lambda policy=policy: HFEngine(policy=policy, max_rows=rows),
            "vllm": lambda policy=policy: VLLMEngine(policy=policy, max_rows=rows, dtype=options.dtype),
        }
        for name, make in engines.items():
            print(f"  {name:5}{measure(make, policy, **work)}", flush=True)


if __name__ == "__main__":
    main()

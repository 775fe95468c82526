"""Tokens per second and seconds per sync of the two engines, one after the other on the same policy.

    python benchmarks/engines.py [--prompts 64] [--completions 16] [--tokens 32] [--repeats 3] [--dtype float32]

Random policies of 0.2 and 25 million parameters, random prompts of 20 tokens. The best of the repeats counts: other
work on the machine only ever makes it slower. The first round of each engine, with its start, is not counted but shown.
"""

import argparse
import random
import time
from collections.abc import Callable

import torch

from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.types import Problem, Prompt, Sampling

SIZES = {"tiny": (64, 3), "25M": (512, 8)}
"""(hidden size, layers) by name."""


def measure(make: Callable[[], RolloutEngine], policy: Policy, options: argparse.Namespace) -> str:
    """A row: seconds of the first round, tokens/s, seconds per sync."""
    draw = random.Random(0)
    prompts = [
        Prompt(
            problem=Problem(id=str(i), text="", answer=""), token_ids=tuple(draw.randrange(2, 400) for _ in range(20))
        )
        for i in range(options.prompts)
    ]
    sampling = Sampling(max_new_tokens=options.tokens)
    weights = [(name, parameter.detach()) for name, parameter in policy.model.named_parameters()]
    engine = make()
    first, speeds, syncs = 0.0, [], []
    for round_ in range(options.repeats + 1):
        start = time.perf_counter()
        engine.load_policy(iter(weights), version=round_)
        loaded = time.perf_counter()
        groups = engine.generate(
            prompts, sampling, num_completions=options.completions, seeds=range(round_, round_ + len(prompts))
        )
        tokens = sum(len(completion.token_ids) for _, group in groups for completion in group.completions)
        end = time.perf_counter()
        if round_ == 0:
            first = end - start
        else:
            syncs.append(loaded - start)
            speeds.append(tokens / (end - loaded))
    engine.close()
    return f"first round {first:5.1f} s   {max(speeds):8,.0f} tokens/s   sync {min(syncs):.3f} s"


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
            print(f"  {name:5}{measure(make, policy, options)}", flush=True)


if __name__ == "__main__":
    main()

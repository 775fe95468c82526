"""Tokens per second and seconds per sync of the two engines, one after the other on the same policy.

    python benchmarks/engines.py [--prompts 64] [--completions 16] [--tokens 32] [--repeats 3] [--dtype float32]
    python benchmarks/engines.py --sizes qwen3_0_6b --dtype bfloat16 --completions 8 --tokens 256    # on a GPU

Random policies of 0.2, 25 and 596 million parameters, random prompts of 20 tokens. The best of the repeats counts:
other work on the machine only ever makes it slower. The first round of each engine, with its start, is not counted but
shown.
"""

import argparse
import random
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import EOS, PAD, build_model, build_tokenizer
from rsgrpo.planning.architecture import architecture_of
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.types import Problem, Prompt, Sampling

SIZES = {"tiny": (64, 3), "25M": (512, 8)}
"""(hidden size, layers) by name."""

REAL = {"qwen3_0_6b": "Qwen/Qwen3-0.6B"}
"""The model whose architecture is taken, by name."""


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


def policy_of(size: str) -> Policy:
    """Random weights of the size, with the tiny tokenizer, on the GPU if there is one."""
    tokenizer, device = build_tokenizer(), "cuda" if torch.cuda.is_available() else "cpu"
    if size not in REAL:
        hidden_size, num_layers = SIZES[size]
        model = build_model(tokenizer, hidden_size=hidden_size, num_layers=num_layers, seed=0)
        return Policy(model, tokenizer).to(device)
    architecture, known = architecture_of(REAL[size]), tokenizer.get_vocab()
    architecture.config.eos_token_id, architecture.config.pad_token_id = known[EOS], known[PAD]
    torch.manual_seed(0)
    with torch.device(device):
        return Policy(architecture.build(), tokenizer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--completions", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=[*SIZES, *REAL])
    parser.add_argument("--eager", action="store_true", help="vLLM without CUDA graphs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = options.prompts * options.completions
    work = {name: getattr(options, name) for name in ("prompts", "completions", "tokens", "repeats")}
    for size in options.sizes:
        policy = policy_of(size)
        count = sum(parameter.numel() for parameter in policy.parameters())
        print(f"{size}: {count:,} parameters, {options.prompts} x {options.completions} x {options.tokens} tokens")
        engines: dict[str, Callable[[], RolloutEngine]] = {
            "hf": lambda policy=policy: HFEngine(policy=policy, max_rows=rows),
            "vllm": lambda policy=policy: VLLMEngine(
                policy=policy, max_rows=rows, dtype=options.dtype, enforce_eager=True if options.eager else "auto"
            ),
        }
        half = options.dtype == "bfloat16"
        for name, make in engines.items():
            with torch.autocast(policy.device.type, dtype=torch.bfloat16, cache_enabled=False, enabled=half):
                print(f"  {name:5}{measure(make, policy, **work)}", flush=True)


if __name__ == "__main__":
    main()
